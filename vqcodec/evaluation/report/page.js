"use strict";

for (const slider of document.querySelectorAll(".slider")) {
  const stage = slider.querySelector(".stage");
  const range = slider.querySelector("input[type=range]");
  const left = slider.querySelector("select.left");
  const right = slider.querySelector("select.right");
  const zoom = slider.querySelector("select.zoom");
  const width = Number(stage.dataset.width);
  const height = Number(stage.dataset.height);

  const split = () => stage.style.setProperty("--split", `${range.value}%`);

  const choose = () => {
    for (const image of stage.querySelectorAll("img")) {
      const isLeft = image.dataset.codec === left.value;
      const isRight = image.dataset.codec === right.value;
      image.hidden = !isLeft && !isRight;
      // The same picture on both sides is not cut.
      image.className = isLeft && isRight ? "" : isLeft ? "left" : isRight ? "right" : "";
    }
  };

  const size = () => {
    stage.dataset.zoom = zoom.value;
    stage.style.aspectRatio = `${width} / ${height}`;
    // The whole picture in the window, or as many of its pixels as were asked for on each of the screen's.
    stage.style.width =
      zoom.value === "fit"
        ? `min(100%, ${(85 * width) / height}vh)`
        : `${(width * Number(zoom.value)) / devicePixelRatio}px`;
  };

  const drag = (event) => {
    if (event.type === "pointermove" && event.buttons === 0) return;
    const box = stage.getBoundingClientRect();
    range.value = String((100 * (event.clientX - box.left)) / box.width);
    split();
  };

  range.addEventListener("input", split);
  left.addEventListener("change", choose);
  right.addEventListener("change", choose);
  zoom.addEventListener("change", size);
  stage.addEventListener("pointerdown", drag);
  stage.addEventListener("pointermove", drag);
  stage.addEventListener("dragstart", (event) => event.preventDefault());
  split();
  choose();
  size();
}
