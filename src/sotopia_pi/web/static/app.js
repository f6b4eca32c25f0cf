// Keys: an element with data-key="x" is followed, pressed or focused when x is typed; "?" lists them.
// Everything works without this file.
(() => {
  const typing = (el) => el.matches("input:not([type=radio]):not([type=checkbox]),textarea,select,[contenteditable]");
  const keyed = () => [...document.querySelectorAll("[data-key]")];
  const name = (el) => el.dataset.keyName || el.getAttribute("aria-label") || el.textContent.trim();

  function help() {
    let box = document.getElementById("keys");
    if (!box) {
      box = document.createElement("dialog");
      box.id = "keys";
      box.setAttribute("aria-label", "Keys");
      document.body.append(box);
    }
    const list = document.createElement("dl");
    for (const [key, does] of [...keyed().map((el) => [el.dataset.key, name(el)]), ["?", "show or hide these keys"]]) {
      const row = document.createElement("div");
      const term = document.createElement("dt");
      const cap = document.createElement("kbd");
      cap.textContent = key;
      term.append(cap);
      const what = document.createElement("dd");
      what.textContent = does;
      row.append(term, what);
      list.append(row);
    }
    box.replaceChildren(list);
    if (box.open) box.close();
    else box.showModal();
  }

  document.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey || typing(event.target)) return;
    if (event.key === "?") return help();
    const found = keyed().find((el) => el.dataset.key === event.key);
    if (!found) return;
    event.preventDefault();
    if (found.matches("input,textarea,select")) found.focus();
    else found.click();
  });
})();
// A form that saves itself says so when it could not.
for (const [event, said] of [
  ["htmx:sendError", "Not saved: the server cannot be reached. Keep this page open; it is saved when you go on."],
  ["htmx:responseError", "Not saved. Use the Save button, or reload the page in another tab to see why."],
  ["htmx:beforeRequest", "Saving…"],
]) {
  document.addEventListener(event, (happened) => {
    const shown = happened.detail.target;
    if (shown && shown.id === "saved") shown.textContent = said;
  });
}
