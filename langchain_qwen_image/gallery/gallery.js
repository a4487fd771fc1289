
"use strict";
// Everything can be read without this script; it adds the filter.
(() => {
  const header = document.querySelector("header");
  const form = document.querySelector("form");
  const input = document.getElementById("filter");
  const count = document.getElementById("count");
  const nothing = document.getElementById("nothing");
  const tiles = Array.from(document.querySelectorAll("#tiles > li"));
  const number = new Intl.NumberFormat("en");
  const PAUSE = 80; // ms: typing on is one filtering
  let texts = null;
  let shown = "";
  let timer = 0;

  // Upper case, not lower: ß and SS, ς and σ become the same. 1024x768 and 1024*768 are 1024×768.
  const fold = (text) =>
    text.normalize("NFKC").toUpperCase().replace(/(\d)[X*×]/g, "$1×");

  const textOf = (tile) =>
    fold(Array.from(tile.querySelectorAll("[data-find]"), (part) => part.textContent).join("\n"));

  const counted = (n) => `${number.format(n)} ${n === 1 ? "image" : "images"}`;

  const show = (query) => {
    if (query === shown) return;
    shown = query;
    texts ??= tiles.map(textOf);
    const words = fold(query).split(/\s+/).filter(Boolean);
    let found = 0;
    tiles.forEach((tile, place) => {
      const fits = words.every((word) => texts[place].includes(word));
      found += fits;
      if (tile.hidden === fits) tile.hidden = !fits;
    });
    count.textContent = words.length
      ? `${number.format(found)} of ${counted(tiles.length)}`
      : counted(tiles.length);
    nothing.hidden = found > 0 || tiles.length === 0;
    scrollTo(0, Math.min(scrollY, header.offsetHeight)); // what was found begins at the top
  };

  const remember = (query) => {
    const hash = query.trim() ? `#q=${encodeURIComponent(query.trim())}` : "";
    try {
      history.replaceState(null, "", hash || location.href.split("#")[0]);
    } catch {
      // A browser may forbid it for files, or after very many; the filter works all the same.
    }
  };

  const apply = () => {
    show(input.value);
    remember(input.value);
  };

  const clear = () => {
    input.value = "";
    clearTimeout(timer);
    apply();
  };

  const recall = () => {
    const found = /^#q=(.*)$/.exec(location.hash);
    try {
      input.value = found ? decodeURIComponent(found[1]) : "";
    } catch {
      input.value = found[1];
    }
    show(input.value);
  };

  input.addEventListener("input", () => {
    clearTimeout(timer);
    timer = setTimeout(apply, PAUSE);
  });
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    clearTimeout(timer);
    apply();
  });
  document.getElementById("clear").addEventListener("click", () => {
    clear();
    input.focus();
  });
  document.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey || event.isComposing) return;
    if (event.key === "/" && document.activeElement !== input) {
      event.preventDefault();
      input.focus();
      input.select();
    } else if (event.key === "Escape" && input.value) {
      event.preventDefault();
      clear();
    }
  });
  addEventListener("hashchange", recall);

  if (tiles.length) form.hidden = false;
  recall();
})();
