for (const section of document.querySelectorAll(".codebook")) {
  const { size, columns, shown, bits, neighbours, counts, total } = JSON.parse(
    section.querySelector("script").textContent,
  );
  const atlas = section.querySelector(".atlas");
  const sheet = atlas.querySelector("img");
  const mark = atlas.querySelector(".mark");
  const detail = section.querySelector(".detail");
  const placeOf = new Map(shown.map((codeword, place) => [codeword, place]));
  const rows = Math.ceil(shown.length / columns);
  let chosen = 0;

  const patch = (place, kind) => {
    const canvas = document.createElement("canvas");
    canvas.width = canvas.height = size;
    canvas.className = kind;
    const x = (place % columns) * size;
    const y = Math.floor(place / columns) * size;
    canvas.getContext("2d").drawImage(sheet, x, y, size, size, 0, 0, size, size);
    return canvas;
  };

  const line = (text) => {
    const paragraph = document.createElement("div");
    paragraph.textContent = text;
    return paragraph;
  };

  const choose = (place) => {
    chosen = Math.min(Math.max(place, 0), shown.length - 1);
    mark.style.left = `${(100 * (chosen % columns)) / columns}%`;
    mark.style.top = `${(100 * Math.floor(chosen / columns)) / rows}%`;
    mark.style.width = `${100 / columns}%`;
    mark.style.height = `${100 / rows}%`;
    const facts = [line(`codeword ${shown[chosen]}`), line(`${bits[chosen]} bits`)];
    if (counts) {
      const share = total ? (100 * counts[chosen]) / total : 0;
      facts.push(line(counts[chosen] ? `chosen ${counts[chosen]} times, ${share.toPrecision(2)}\u00a0%` : "never chosen"));
    }
    facts.push(line("nearest:"));
    const near = document.createElement("div");
    near.className = "near";
    for (const codeword of neighbours[chosen]) {
      const button = document.createElement("button");
      if (placeOf.has(codeword)) {
        button.append(patch(placeOf.get(codeword), ""));
        button.addEventListener("click", () => choose(placeOf.get(codeword)));
      }
      button.append(String(codeword));
      near.append(button);
    }
    detail.replaceChildren(patch(chosen, "large"), ...facts, near);
  };

  atlas.addEventListener("click", (event) => {
    const box = sheet.getBoundingClientRect();
    const column = Math.floor((columns * (event.clientX - box.left)) / box.width);
    const row = Math.floor((rows * (event.clientY - box.top)) / box.height);
    choose(row * columns + Math.min(column, columns - 1));
  });
  atlas.addEventListener("keydown", (event) => {
    const moves = { ArrowLeft: -1, ArrowRight: 1, ArrowUp: -columns, ArrowDown: columns };
    if (event.key in moves) {
      event.preventDefault();
      choose(chosen + moves[event.key]);
    }
  });
  sheet.decode().then(() => choose(0));
}
