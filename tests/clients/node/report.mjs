// What the programs of this folder share: what they are given, and how they say what came of each case.

export const given = JSON.parse(process.env.GIVEN);

// Run the cases, one after another, and print {case: {value} | {error}} as JSON.
export async function report(cases) {
  const found = {};
  for (const [name, run] of Object.entries(cases)) {
    try {
      found[name] = { value: await run() };
    } catch (error) {
      const { constructor, status, statusCode, code, message } = error;
      found[name] = { error: { type: constructor.name, status: status ?? statusCode ?? null, code: code ?? null, message } };
    }
  }
  process.stdout.write(`\n${JSON.stringify(found)}\n`);
}

// Wait until the server says that no request runs, and return how many were cancelled so far.
export async function untilNoneRuns() {
  for (let tries = 0; tries < 300; tries++) {
    const text = await (await fetch(`${given.origin}/metrics`)).text();
    const running = [...text.matchAll(/^trimode_requests_running\S* (\S+)$/gm)].reduce((sum, one) => sum + Number(one[1]), 0);
    if (running === 0) return true;
    await new Promise((later) => setTimeout(later, 100));
  }
  return false;
}
