// Pictures that go with a message: chosen, dropped or pasted, and held to the server's limits before anything is sent.
// They stay in the page's memory, as data: URLs, from which they are drawn too. Nothing of them is kept or in a link.
import { Component } from "./vendor/htm-preact.js";
import { PictureFile } from "./request.js";
import { sees, server } from "./server.js";
import { html } from "./ui.js";

const MIB = 2 ** 20;
const SPARE_BYTES = 2 ** 16; // of a body, for what is no picture

const mib = (bytes) => `${(bytes / MIB).toLocaleString("en", { maximumFractionDigits: 1 })} MiB`;
const counted = (count) => (count === 1 ? "1 picture" : `${count} pictures`);

/** Return a message as the API takes it: pictures, then the text. `address(picture)` stands for a picture. */
export function asMessage({ role, content, pictures = [], missing = 0 }, address = ({ url }) => url) {
  if (!pictures.length) return { role, content: content || !missing ? content : `(${counted(missing)}, not kept)` };
  const parts = pictures.map((picture) => ({ type: "image_url", image_url: { url: address(picture) } }));
  return { role, content: content ? [...parts, { type: "text", text: content }] : parts };
}

/** What stands for a picture where a request is shown: its file. */
export const asFile = (picture) => new PictureFile(picture);

/** Return messages as they are kept and linked: of pictures their number alone, as `missing`. */
export const withoutPictures = (messages) =>
  messages.map(({ pictures = [], missing = 0, ...message }) => (pictures.length + missing ? { ...message, missing: pictures.length + missing } : message));

/** Read a file; what it rejects with says why it cannot be sent. */
function read(file) {
  const { formats, bytes, pixels } = server.value.pictures;
  return new Promise((resolve, reject) => {
    const refuse = (why) => reject(new Error(`${file.name} ${why}`));
    if (!formats.some((name) => file.type === typeOf(name))) return refuse(`is no ${formats.slice(0, -1).join(", ")} or ${formats.at(-1)}. Convert it first.`);
    if (file.size > bytes) return refuse(`has ${mib(file.size)}; a picture may have ${mib(bytes)}. Make it smaller.`);
    const reader = new FileReader();
    const image = new Image();
    reader.onload = () => (image.src = reader.result);
    reader.onerror = image.onerror = () => refuse("cannot be read as a picture. It may be damaged: open it in another program, and save it again.");
    image.onload = () => {
      const { naturalWidth: width, naturalHeight: height } = image;
      if (width * height > pixels) return refuse(`has ${width} × ${height} pixels; a picture may have ${pixels / 1e6} million. Make it smaller.`);
      resolve({ name: file.name, type: file.type, url: image.src });
    };
    reader.readAsDataURL(file);
  });
}

const typeOf = (format) => `image/${format.toLowerCase()}`;

/** Raise where `picture` goes over what a request may have beside `others`. */
function check(picture, others, earlier) {
  const { images, pictures } = server.value;
  const here = earlier.length ? `, and earlier messages have ${earlier.length}. Begin a new chat, or take one out.` : ". Take one out first.";
  if (others.length >= images) throw new Error(`${picture.name} is one too many: a request may have ${counted(images)}${here}`);
  const most = pictures.body_bytes - SPARE_BYTES;
  if (others.reduce((sum, { url }) => sum + url.length, picture.url.length) <= most) return;
  throw new Error(`${picture.name} is too large: a request's pictures may have ${mib((3 / 4) * most)} together, as --max-body-mib of the server says. Make it smaller, or send fewer.`);
}

/** Return a name that no other picture of the chat has: what is pasted is always called image.png. */
function named(name, others) {
  const [, stem, ending] = /^(.*?)(\.[^.]*)?$/s.exec(name);
  let found = name;
  for (let number = 2; others.some((one) => one.name === found); number += 1) found = `${stem}-${number}${ending ?? ""}`;
  return found;
}

/** Pictures of a message, as small as they fit in a line; `remove(index)` makes buttons, and `missing` is of those that were not kept. */
export function Pictures({ pictures = [], missing = 0, remove }) {
  return html`${pictures.length > 0 && html`<ul class="pictures" aria-label="Pictures">
      ${pictures.map(
        ({ name, url }, index) => html`<li key=${name}>
          <img src=${url} alt=${name} title=${name} />
          ${remove && html`<button type="button" aria-label=${`Remove ${name}`} title="Remove" onClick=${() => remove(index)}>✕</button>`}
        </li>`,
      )}
    </ul>`}
    ${missing > 0 && html`<p class="small">${counted(missing)} went with this message. Pictures are kept neither in this browser nor in links: add them again to ask about them.</p>`}`;
}

/** Says so where messages have pictures, and the model that is asked reads none. */
export function LeftOut({ messages }) {
  if (sees() || !messages.some(({ pictures = [] }) => pictures.length)) return null;
  return html`<p class="notice" role="status">${server.value.name} reads text alone. It is asked without the pictures, which wait here for a model that reads them.</p>`;
}

/** The button that adds pictures to a message, and those that were added. Files may be dropped on its view, or pasted. */
export class Attach extends Component {
  #reading = Promise.resolve();
  #focus = -1; // the place of the picture that was taken out last

  constructor(props) {
    super(props);
    this.state = { problems: [], said: "", reading: 0 };
  }

  get busy() {
    return this.state.reading > 0;
  }

  componentDidMount() {
    this.view = this.button.closest(".view");
    for (const kind of ["paste", "dragover", "drop"]) this.view.addEventListener(kind, this);
  }

  componentWillUnmount() {
    this.gone = true; // what is being read is given up: it was added for another model
    for (const kind of ["paste", "dragover", "drop"]) this.view.removeEventListener(kind, this);
  }

  componentDidUpdate() {
    if (this.#focus < 0) return;
    const left = this.root.querySelectorAll("li button");
    (left[Math.min(this.#focus, left.length - 1)] ?? this.button).focus();
    this.#focus = -1;
  }

  handleEvent(event) {
    const data = event.clipboardData ?? event.dataTransfer;
    if (!data?.types.includes("Files") || (event.type === "paste" && data.types.includes("text/plain"))) return;
    event.preventDefault();
    if (event.type !== "dragover") this.take([...data.files]);
  }

  take(files) {
    this.setState(({ reading }) => ({ reading: reading + 1 }));
    this.#reading = this.#reading.then(() => this.#take(files)).then(() => this.setState(({ reading }) => ({ reading: reading - 1 })));
  }

  async #take(files) {
    const added = [];
    const problems = [];
    const { earlier } = this.props;
    for (const file of files) {
      try {
        const picture = await read(file);
        const others = [...earlier, ...this.props.pictures, ...added];
        check(picture, others, earlier);
        added.push({ ...picture, name: named(picture.name, others) });
      } catch (error) {
        problems.push(error.message);
      }
    }
    if (this.gone) return;
    this.setState({ problems, said: added.length ? `Added ${added.map(({ name }) => name).join(", ")}.` : "" });
    if (added.length) this.props.onChange([...this.props.pictures, ...added]);
  }

  remove = (index) => {
    const { pictures, onChange } = this.props;
    this.#focus = index;
    this.setState({ problems: [], said: `Removed ${pictures[index].name}.` });
    onChange(pictures.filter((_, at) => at !== index));
  };

  choose = (event) => {
    this.take([...event.currentTarget.files]);
    event.currentTarget.value = ""; // the same file may be chosen again
  };

  /** Forget what was said of another message. */
  clear() {
    this.setState({ problems: [], said: "" });
  }

  render({ pictures }, { problems, said, reading }) {
    return html`<div class="attach" ref=${(node) => (this.root = node)}>
      <input type="file" hidden multiple accept=${server.value.pictures.formats.map(typeOf).join()} ref=${(node) => (this.input = node)} onChange=${this.choose} />
      <button type="button" ref=${(node) => (this.button = node)} title="They may be dropped here or pasted, too" onClick=${() => this.input.click()}>Add pictures</button>
      <${Pictures} pictures=${pictures} remove=${this.remove} />
      <p class="small" role="status">${reading > 0 ? "Reading…" : `${said}${pictures.length ? ` ${counted(pictures.length)}, kept neither in this browser nor in links.` : ""}`}</p>
      ${problems.length > 0 && html`<div class="failure" role="alert">${problems.map((problem) => html`<p>${problem}</p>`)}</div>`}
    </div>`;
  }
}
