// Output with its colours: SGR sequences become classes, every other control sequence is left out.

const SEQUENCE = /\x1b(?:\[([0-9;:<=>?]*)[ -/]*([@-~])|\][^\x07\x1b]*(?:\x07|\x1b\\)|[PX^_][^\x1b]*\x1b\\|[ -/]+[0-~]|[0-~])/g;
const BEGUN = /\x1b(?:\[[0-9;:<=>?]*[ -/]*|\][^\x07\x1b]*\x1b?|[PX^_][^\x1b]*\x1b?|[ -/]*)$/;
const MOST_BEGUN = 4096;
const NAMES = ["black", "red", "green", "yellow", "blue", "magenta", "cyan", "white"];

/** Reads pieces of output one after another; the style and a cut sequence go over from piece to piece. */
export class Ansi {
  #style = { fg: "", bold: false, dim: false, under: false };
  #rest = "";

  /** The runs of a piece: [text, class]. A text that is "\r" alone says that the line is drawn again from its beginning. */
  read(piece) {
    let text = this.#rest + piece;
    this.#rest = "";
    const cut = text.search(BEGUN);
    if (cut >= 0 && text.length - cut < MOST_BEGUN) {
      this.#rest = text.slice(cut);
      text = text.slice(0, cut);
    }
    const runs = [];
    let at = 0;
    for (const found of text.matchAll(SEQUENCE)) {
      this.#run(runs, text.slice(at, found.index));
      at = found.index + found[0].length;
      if (found[2] === "m") this.#sgr(found[1]);
    }
    this.#run(runs, text.slice(at));
    return runs;
  }

  #run(runs, text) {
    const { fg, bold, dim, under } = this.#style;
    const name = [fg && `f-${fg}`, bold && "bold", dim && "dim", under && "under"].filter(Boolean).join(" ");
    // by splitting: an expression that looks for a line's last return takes quadratic time for a long line
    text.replaceAll("\r\n", "\n").split("\r").forEach((part, i) => {
      if (i && runs.at(-1)?.[0] !== "\r") runs.push(["\r", ""]);
      const plain = part.replace(/[\x00-\x08\x0b-\x1f\x7f-\x9f]/g, "");
      if (plain) runs.push([plain, name]);
    });
  }

  #sgr(parameters) {
    const codes = parameters.split(/[;:]/).map((each) => Number(each) || 0);
    for (let i = 0; i < codes.length; i += 1) {
      const code = codes[i];
      if (code === 0) this.#style = { fg: "", bold: false, dim: false, under: false };
      else if (code === 1) this.#style.bold = true;
      else if (code === 2) this.#style.dim = true;
      else if (code === 4) this.#style.under = true;
      else if (code === 22) this.#style.bold = this.#style.dim = false;
      else if (code === 24) this.#style.under = false;
      else if (code === 39) this.#style.fg = "";
      else if (code >= 30 && code <= 37) this.#style.fg = NAMES[code - 30];
      else if (code >= 90 && code <= 97) this.#style.fg = NAMES[code - 90];
      else if (code === 38 || code === 48) {
        const isIndexed = codes[i + 1] === 5;
        if (code === 38) this.#style.fg = isIndexed && codes[i + 2] < 16 ? NAMES[codes[i + 2] % 8] : "";
        i += isIndexed ? 2 : 4;
      }
    }
  }
}
