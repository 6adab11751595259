// Kept: chats of this browser, in its local storage, until they are cleared. Nothing of it is sent anywhere.
import { withoutPictures } from "./pictures.js";
import { Store } from "./store.js";

const NAME = "trimode.playground.chats";
const MOST_CHATS = 40;
const MOST_CHARACTERS = 2_000_000; // local storage holds some five million

function load() {
  try {
    const found = JSON.parse(localStorage.getItem(NAME) ?? "[]");
    return Array.isArray(found) ? found : [];
  } catch {
    return [];
  }
}

/** chats: {id, when, title, messages, mode}, and its model where there are several, the newest first; full: whether the last one could not be kept. */
export const kept = new Store({ chats: load(), full: false });

function write(chats) {
  try {
    while (JSON.stringify(chats).length > MOST_CHARACTERS && chats.length > 1) chats = chats.slice(0, -1);
    localStorage.setItem(NAME, JSON.stringify(chats));
    kept.set({ chats, full: false });
  } catch {
    kept.set({ chats, full: true });
  }
}

export function keep(chat) {
  const others = kept.value.chats.filter((one) => one.id !== chat.id);
  write([{ ...chat, messages: withoutPictures(chat.messages), when: Date.now(), title: chat.messages[0].content.slice(0, 80) || "A picture" }, ...others].slice(0, MOST_CHATS));
}

export function forget(id) {
  write(kept.value.chats.filter((one) => one.id !== id));
}

export function clear() {
  localStorage.removeItem(NAME);
  kept.set({ chats: [], full: false });
}
