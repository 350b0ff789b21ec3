/** The page: shows a file that is in it, or files that are dropped on it. */

const by = (id) => document.getElementById(id);
const settings = JSON.parse(by("settings").textContent);
const started = performance.now();

let picture; // what the worker said of the file that is open
let worker;

/** A block of the page as bytes: base64, of gzip if so marked. */
async function block(id) {
  const element = by(id);
  const text = element.textContent;
  element.remove();
  const bytes = fromBase64(text);
  return element.dataset.packed ? unpacked(bytes) : bytes;
}

function fromBase64(text) {
  if (Uint8Array.fromBase64) return Uint8Array.fromBase64(text);
  const letters = atob(text);
  const bytes = new Uint8Array(letters.length);
  for (let at = 0; at < bytes.length; at++) bytes[at] = letters.charCodeAt(at);
  return bytes;
}

async function unpacked(bytes) {
  const stream = new Blob([bytes]).stream().pipeThrough(new DecompressionStream("gzip"));
  return new Uint8Array(await new Response(stream).arrayBuffer());
}

/** A part of the page's program: from the page itself, or from where it was served. */
async function part(name) {
  if (by(name)) return block(name);
  const response = await fetch(settings.parts[name]);
  if (!response.ok) throw new Error(`${name}: ${response.status}`);
  const bytes = new Uint8Array(await response.arrayBuffer());
  return settings.packed.includes(name) ? unpacked(bytes) : bytes;
}

/** Whether a graphics processor is there, and the browser can wait for it inside WebAssembly. */
async function hasGpu() {
  if (!settings.parts || !WebAssembly.Suspending || !navigator.gpu) return false;
  const adapter = await navigator.gpu.requestAdapter();
  // One in software is slower than WebAssembly.
  return Boolean(adapter && !(adapter.info?.isFallbackAdapter ?? adapter.isFallbackAdapter));
}

let last; // what was opened last

async function start(gpu) {
  worker?.terminate();
  document.body.dataset.runs = gpu ? "gpu" : "wasm";
  const program = new Blob([await part(gpu ? "gpu_worker" : "worker")], { type: "text/javascript" });
  worker = new Worker(URL.createObjectURL(program));
  worker.onmessage = ({ data }) => answers[data.kind](data);
  worker.onerror = (event) => fault(event.message);
  const names = ["model", "graph", gpu ? "gpu_wasm" : "wasm"];
  const [model, graph, wasm] = await Promise.all(names.map(part));
  const { path, id, version } = settings;
  worker.postMessage({ kind: "load", model, graph, wasm, path, id, version }, [model.buffer, graph.buffer, wasm.buffer]);
  if (by("picture")) open(await block("picture"), settings.name);
  else if (last) open(...last);
  else status("");
}

function open(data, name) {
  last = [data, name];
  by("name").textContent = name;
  by("facts").textContent = "";
  status("Decoding …");
  worker.postMessage({ kind: "open", data, name });
}

const answers = {
  base(found) {
    picture = found;
    const { header, bytes, name, stages, missing } = found;
    const bpp = (8 * bytes) / (header.width * header.height);
    document.title = name;
    const facts = [
      `${header.width} × ${header.height}`,
      `${bytes.toLocaleString("en")} bytes`,
      `${bpp.toPrecision(3)} bits per pixel`,
      `model ${header.modelId}`,
    ];
    if (missing) facts.push(`truncated: ${stages} of ${header.stages} stages are there`);
    by("facts").textContent = facts.join(", ");
    by("drop").hidden = true;
    by("controls").hidden = false;
    by("stages").max = by("stages").value = stages;
    by("realism").value = found.realism;
    by("realism").closest("label").hidden = !found.second;
    by("save").disabled = true;
    showBase();
    render();
  },

  part({ pixels, left, top, width, height }) {
    by("canvas").getContext("2d").putImageData(new ImageData(pixels, width, height), left, top);
  },

  picture({ pixels, png, stages, seconds }) {
    const { width, height } = picture.header;
    if (png) {
      // Of pictures with a colour profile, the browser converts the colours.
      const image = by("image");
      URL.revokeObjectURL(image.src);
      image.src = URL.createObjectURL(new Blob([png], { type: "image/png" }));
      image.alt = picture.name;
      swap(image);
    } else {
      draw(pixels, width, height);
      swap(by("canvas"));
    }
    by("save").disabled = false;
    const all = ((performance.now() - started) / 1000).toFixed(1);
    status(`${stages} of ${picture.header.stages} stages, drawn in ${seconds.toFixed(1)} s`);
    document.body.dataset.shown = `${stages} ${all}`;
  },

  saved({ png, name }) {
    const link = document.createElement("a");
    link.href = URL.createObjectURL(new Blob([png], { type: "image/png" }));
    link.download = name.replace(/\.vqc$/i, "") + ".png";
    link.click();
    setTimeout(() => URL.revokeObjectURL(link.href), 10000);
  },

  unusable({ message }) {
    // What the graphics processor cannot do, the other one can.
    if (document.body.dataset.runs === "gpu") start(false).catch((error) => fault(error.message));
    else fault(`the networks cannot be run here: ${message}`);
  },

  error({ message, name }) {
    fault(name ? `${name}: ${message}` : message);
  },
};

function draw(pixels, width, height) {
  const canvas = by("canvas");
  canvas.width = width;
  canvas.height = height;
  canvas.getContext("2d").putImageData(new ImageData(pixels, width, height), 0, 0);
}

/** Show the base, enlarged smoothly. */
function showBase() {
  const { header, rows, columns, pixels } = picture;
  const small = new OffscreenCanvas(columns, rows);
  small.getContext("2d").putImageData(new ImageData(pixels, columns, rows), 0, 0);
  const canvas = by("canvas");
  canvas.width = header.width;
  canvas.height = header.height;
  const context = canvas.getContext("2d");
  context.imageSmoothingQuality = "high";
  context.drawImage(small, 0, 0, 16 * columns, 16 * rows);
  swap(canvas);
  document.body.dataset.base = ((performance.now() - started) / 1000).toFixed(1);
}

function swap(element) {
  for (const id of ["canvas", "image"]) by(id).hidden = by(id) !== element;
  zoom();
}

function zoom() {
  const factor = 2 ** by("zoom").value;
  by("zoom-shown").value = `${100 * factor} %`;
  for (const id of ["canvas", "image"]) {
    by(id).style.width = `${picture.header.width * factor}px`;
    by(id).classList.toggle("large", factor > 1);
  }
}

function render() {
  const stages = Number(by("stages").value);
  const realism = Number(by("realism").value);
  by("stages-shown").value = stages;
  by("realism-shown").value = realism;
  status("Drawing …");
  worker.postMessage({ kind: "render", stages, realism });
}

function status(text) {
  by("status").textContent = text;
  by("status").classList.remove("fault");
}

function fault(text) {
  status(text);
  by("status").classList.add("fault");
  document.body.dataset.fault = text;
}

by("stages").oninput = by("realism").oninput = render;
by("zoom").oninput = zoom;
by("save").onclick = () => worker.postMessage({ kind: "save" });
by("controls").onsubmit = (event) => event.preventDefault();

async function take(files) {
  const [file] = files;
  if (file && worker) open(new Uint8Array(await file.arrayBuffer()), file.name);
}
by("file").onchange = (event) => take(event.target.files);
document.ondragover = (event) => {
  event.preventDefault();
  by("viewport").classList.add("over");
};
document.ondragleave = () => by("viewport").classList.remove("over");
document.ondrop = (event) => {
  event.preventDefault();
  by("viewport").classList.remove("over");
  take(event.dataTransfer.files);
};

status("Loading …");
hasGpu()
  .then(start)
  .catch((error) => fault(error.message));
