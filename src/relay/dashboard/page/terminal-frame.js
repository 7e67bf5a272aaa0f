// In the frame: a terminal that shows what the page tells, and tells the page what is typed. It knows nothing else.
"use strict";
(() => {
  const PAGE = new URL(location.href).origin; // its own is none
  const DETACH = 29; // Ctrl-], as of relay attach
  const ARROW = /^\x1b\[([A-DFH])$/;
  const LOOKS = {
    dark: { background: "#0f1315", foreground: "#e6ece8", cursor: "#57c7a5", selectionBackground: "#2b5548", blue: "#7db4ff", brightBlue: "#9cc6ff", black: "#3a4547" },
    light: { background: "#fbfcfb", foreground: "#17201e", cursor: "#0c7358", selectionBackground: "#bfe0d5", yellow: "#8f5600", brightYellow: "#8f5600", green: "#0c7358", brightGreen: "#0c7358", white: "#4d5a56", brightWhite: "#17201e", cyan: "#0b6a7a", brightCyan: "#0b6a7a" },
  };
  const box = document.querySelector("main");
  const style = document.createElement("style");
  style.textContent = "html,body,main{height:100%;margin:0;overflow:hidden}main{box-sizing:border-box;padding:8px}";
  document.head.append(style);
  const term = new Terminal({
    cursorBlink: !matchMedia("(prefers-reduced-motion: reduce)").matches, fontSize: 13, scrollback: 5000,
    fontFamily: 'ui-monospace, "SF Mono", "Cascadia Mono", Menlo, Consolas, "DejaVu Sans Mono", monospace',
    minimumContrastRatio: 4.5, linkHandler: { activate() {} }, theme: LOOKS.dark, disableStdin: true,
  });
  term.open(box);
  const tell = (message) => parent.postMessage(message, PAGE);
  const encoder = new TextEncoder();
  let isTyping = false, told = "";

  function fit() {
    const cells = box.querySelector(".xterm-screen").getBoundingClientRect();
    const wide = cells.width / term.cols, high = cells.height / term.rows;
    if (!wide || !high) return;
    const columns = Math.max(2, Math.floor((box.clientWidth - 16 - 14) / wide)), rows = Math.max(1, Math.floor((box.clientHeight - 16) / high));
    if (columns !== term.cols || rows !== term.rows) term.resize(columns, rows);
    const now = `${rows} ${columns}`;
    if (now !== told) tell({ k: "size", rows, columns });
    told = now;
  }

  term.onData((text) => isTyping && tell({ k: "in", data: encoder.encode(text) }));
  term.onBinary((text) => isTyping && tell({ k: "in", data: Uint8Array.from(text, (each) => each.charCodeAt(0) & 255) }));
  term.attachCustomKeyEventHandler((event) => {
    if (event.type !== "keydown" || !event.ctrlKey || (event.key !== "]" && event.keyCode !== DETACH && event.code !== "BracketRight")) return true;
    event.preventDefault();
    tell({ k: "leave" });
    return false;
  });
  addEventListener("message", (event) => {
    if (event.source !== parent || event.origin !== PAGE || typeof event.data !== "object" || !event.data) return;
    const { k, data, look, drives, small, isRead, text } = event.data;
    if (k === "out" && data instanceof Uint8Array) term.write(data, () => tell({ k: "shown", bytes: data.length }));
    else if (k === "look" && Object.hasOwn(LOOKS, look)) {
      term.options.theme = LOOKS[look];
      term.options.fontSize = small ? 12 : 13;
      term.options.screenReaderMode = isRead === true;
      document.body.style.background = LOOKS[look].background;
      fit();
    } else if (k === "drive") {
      isTyping = drives === true;
      term.options.disableStdin = !isTyping;
    } else if (k === "press" && typeof text === "string") {
      // the arrows are others where the program asked for that
      term.input(term.modes.applicationCursorKeysMode ? text.replace(ARROW, "\x1bO$1") : text);
    } else if (k === "focus") term.focus();
  });
  new ResizeObserver(fit).observe(box);
  fit();
  tell({ k: "ready" });
})();
