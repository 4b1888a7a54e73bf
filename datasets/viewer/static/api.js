// What the page asks of its server. An answer that is no success becomes an Error whose message
// is the server's sentence.

const TOKEN = document.querySelector('meta[name="token"]').content;

async function answer(response) {
  if (response.ok) return response;
  let sentence = `${response.status} ${response.statusText}`;
  if (response.headers.get("content-type")?.startsWith("application/json")) {
    sentence = (await response.json()).error;
  }
  throw new Error(sentence);
}

const json = async (path) => (await answer(await fetch(path))).json();

export const getDataset = () => json("/api/dataset");
export const getState = () => json("/api/state");
export const getEpisode = (uuid) => json(`/api/episode/${uuid}`);

async function post(path, body) {
  const response = await fetch(path, {
    method: "POST",
    headers: { "Content-Type": "application/json", "X-Demoloop-Token": TOKEN },
    body: JSON.stringify(body),
  });
  return (await answer(response)).json();
}

export const postEdit = (op, uuid, value) => post("/api/edit", { op, uuid, value });
export const postUndo = (id) => post("/api/undo", { id });
export const postCheck = () => post("/api/check", {});

export const thumbnailUrl = (episode) =>
  `/api/thumbnail/${episode.uuid}?first=${episode.first}&length=${episode.length}`;

// Frames first .. first + count - 1, counted as recorded, as JPEG blobs. The body is, for each
// frame, its length (4 bytes, big endian) and its bytes.
export async function getFrames(uuid, camera, first, count, signal) {
  const path = `/api/frames/${uuid}/${camera}?first=${first}&count=${count}`;
  const body = await (await answer(await fetch(path, { signal }))).arrayBuffer();
  const view = new DataView(body);
  const blobs = [];
  for (let at = 0; at < body.byteLength; ) {
    const size = view.getUint32(at);
    blobs.push(new Blob([new Uint8Array(body, at + 4, size)], { type: "image/jpeg" }));
    at += 4 + size;
  }
  return blobs;
}
