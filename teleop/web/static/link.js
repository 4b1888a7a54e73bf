// The one WebSocket to the server: what it says is handed on, and it is called again when it is lost.
//
// A picture of the cameras is one binary message: the length of a JSON header (4 bytes, little endian),
// the header, then each camera's JPEG. A picture of the page's own camera goes up in the same form.

const AGAIN_MS = [300, 600, 1200, 2400]; // until the next call, after each one that failed

export class Link {
  // `hear` has a method for each type of message, and `frame(header, blobs)`, `opened()`, `lost()`.
  constructor(hear) {
    this.hear = hear;
    this.failed = 0;
    this.socket = null;
  }

  open() {
    const { protocol, host } = location;
    const address = `${protocol === "https:" ? "wss" : "ws"}://${host}/ws`;
    const socket = new WebSocket(address);
    this.socket = socket;
    socket.binaryType = "arraybuffer";
    socket.addEventListener("open", () => {
      this.failed = 0;
      this.hear.opened();
    });
    socket.addEventListener("message", ({ data }) => {
      if (typeof data !== "string") return this.hear.frame(...unpack(data));
      const message = JSON.parse(data);
      this.hear[message.type]?.(message);
    });
    socket.addEventListener("close", () => {
      this.hear.lost();
      const wait = AGAIN_MS[Math.min(this.failed++, AGAIN_MS.length - 1)];
      setTimeout(() => this.open(), wait);
    });
  }

  get isOpen() {
    return this.socket?.readyState === WebSocket.OPEN;
  }

  get waiting() {
    return this.socket?.bufferedAmount ?? 0; // bytes that are not on their way yet
  }

  send(message) {
    if (this.isOpen) this.socket.send(JSON.stringify(message));
  }

  sendPicture(header, jpeg) {
    if (!this.isOpen) return;
    const head = new TextEncoder().encode(JSON.stringify(header));
    const length = new Uint8Array(4);
    new DataView(length.buffer).setUint32(0, head.length, true);
    this.socket.send(new Blob([length, head, jpeg]));
  }
}

function unpack(buffer) {
  const length = new DataView(buffer).getUint32(0, true);
  const header = JSON.parse(new TextDecoder().decode(new Uint8Array(buffer, 4, length)));
  let at = 4 + length;
  const blobs = header.cameras.map(({ bytes }) => {
    const blob = new Blob([new Uint8Array(buffer, at, bytes)], { type: "image/jpeg" });
    at += bytes;
    return blob;
  });
  return [header, blobs];
}
