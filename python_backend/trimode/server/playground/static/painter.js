// Painter: draws at most once a frame, however often it is asked to. Where less motion is wanted, twice a second.

const CALM_MILLISECONDS = 500;
const calm = matchMedia("(prefers-reduced-motion: reduce)");

export class Painter {
  #draw;
  #asked = false;
  #last = -Infinity;

  constructor(draw) {
    this.#draw = draw;
  }

  /** Draw soon. */
  ask() {
    if (this.#asked) return;
    this.#asked = true;
    const wait = calm.matches ? this.#last + CALM_MILLISECONDS - performance.now() : 0;
    if (wait > 0) setTimeout(() => this.#frame(), wait);
    else this.#frame();
  }

  #frame() {
    // A page in the background gets no frames; what it shows must still become right.
    const paint = () => {
      this.#asked = false;
      this.#last = performance.now();
      this.#draw();
    };
    if (document.hidden) setTimeout(paint, CALM_MILLISECONDS);
    else requestAnimationFrame(paint);
  }
}
