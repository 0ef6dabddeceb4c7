// In an exported page: what anywidget's model is in a notebook, without Python behind it.

function restore(value) {
  if (Array.isArray(value)) return value.map(restore);
  if (value === null || typeof value !== "object") return value;
  if (typeof value.base64 === "string") {
    const text = atob(value.base64), bytes = new Uint8Array(text.length);
    for (let i = 0; i < bytes.length; i++) bytes[i] = text.charCodeAt(i);
    return new DataView(bytes.buffer);
  }
  return Object.fromEntries(Object.entries(value).map(([name, part]) => [name, restore(part)]));
}

const state = restore(JSON.parse(document.getElementById("state").textContent));
const model = { exported: true, get: (name) => state[name], set() {}, save_changes() {}, send() {},
  on() {}, off() {} };
widget.render({ model, el: document.getElementById("widget") });
