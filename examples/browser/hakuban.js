// Observes tags and objects of a Hakuban router from a page, or from node: the native protocol over WebSocket, with JSON headers and
// nothing compressed. docs/wire.md describes every byte of it.
//
//     const hub = new Hakuban("ws://127.0.0.1:3001");
//     hub.observe("utilizations", (object) => console.log(object.json, object.text, object.freshness));
//     hub.onstatus = (text) => …;
import { check } from "./xxh3.js";

const ACK = 1, PING = 2, BYE = 3, ERROR = 4, OBJECT = 8, TAG = 9, STREAM_OPEN = 12, CLOSE = 14, CONDITION = 20, PART = 22,
    RESEND = 23, STATE = 64;
const STALE = 2, PARTS = 4, FORMAT = 1;
const KEEP_ALIVE_MS = 20000, WINDOW = 256 * 1024, STATE_MAX = 16 * 1024 * 1024;
const encoder = new TextEncoder(), decoder = new TextDecoder();

// Goes through bytes; whoever reads past their end ends the connection.
class Reader {
    constructor(bytes) { this.bytes = bytes; this.at = 0; }
    get left() { return this.bytes.length - this.at; }
    take(count) {
        if (!(count <= this.left)) throw new Error("something ends too early");
        this.at += count;
        return this.bytes.subarray(this.at - count, this.at);
    }
    varint() {
        for (let value = 0, weight = 1; ; weight *= 128) {
            const [byte] = this.take(1);
            value += (byte & 127) * weight;
            if (value > Number.MAX_SAFE_INTEGER) throw new Error("a number that is too large");
            if (byte < 128) return value;
        }
    }
    zigzag() {
        const value = this.varint();
        return value % 2 ? -(value + 1) / 2 : value / 2;
    }
}

function varint(value) {
    const bytes = [];
    for (; value > 127; value = Math.floor(value / 128)) bytes.push((value % 128) | 128);
    return [...bytes, value];
}

function frame(header) {
    const text = encoder.encode(JSON.stringify(header)), length = varint(text.length);
    return Uint8Array.from([...varint(length.length + text.length), ...length, ...text]);
}

// The data after a delta. old: null where there is none.
export function applyDelta(old, delta) {
    const reader = new Reader(delta), [kind] = reader.take(1);
    if (kind === 4) return reader.take(reader.left).slice();
    if (!old) throw new Error("a difference to nothing");
    if (kind === 0) return old;
    if (kind !== 1 && kind !== 9) throw new Error("a difference of unknown kind " + kind);
    const size = old.length + (kind === 9 ? 0 : reader.zigzag());
    if (!(size >= 0 && size <= STATE_MAX)) throw new Error("a state that is too large");
    const data = new Uint8Array(size);
    let from = 0, filled = 0;
    while (reader.left) {
        const copy = reader.varint(), word = reader.varint(), shift = word % 2 ? reader.zigzag() : 0;
        const literals = reader.take(Math.floor(word / 2));
        if (copy && (from < 0 || from + copy > old.length)) throw new Error("a difference that reads elsewhere");
        if (filled + copy + literals.length > size) throw new Error("a difference that writes elsewhere");
        if (copy) data.set(old.subarray(from, from + copy), filled);
        data.set(literals, filled + copy);
        filled += copy + literals.length;
        from += copy + literals.length + shift;
    }
    if (size - filled > old.length) throw new Error("a difference that reads elsewhere");
    data.set(old.subarray(old.length - (size - filled)), filled);
    return data;
}

const canonical = (value) => JSON.stringify(value); // enough for text, and for objects whose keys are in order

export class Hakuban {
    constructor(url, { name = "page", socket = globalThis.WebSocket } = {}) {
        this.url = url;
        this.name = name;
        this.socketClass = socket;
        this.wanted = new Map(); // the text of a tag or an object: who wants it
        this.pause = 100;
        this.onstatus = () => {};
        this.connect();
    }

    observe(tag, changed) { this.want(TAG, tag, changed); }
    observeObject(json, changed) { this.want(OBJECT, json, changed); }

    want(kind, json, changed) {
        this.wanted.set(kind + canonical(json), { kind, text: canonical(json), changed });
        if (this.open) this.say([kind, 1, 0, canonical(json)]);
    }

    close() {
        this.ended = true;
        if (this.open) this.say([BYE]);
        clearTimeout(this.retry);
        this.socket.close();
    }

    connect() {
        this.channels = new Map();
        this.open = false;
        this.received = this.acknowledged = 0;
        this.socket = new this.socketClass(this.url, "hakuban.1");
        this.socket.binaryType = "arraybuffer";
        this.socket.onopen = () => {
            if (this.socket.protocol !== "hakuban.1") return this.fail("the other side does not speak hakuban.1");
            const id = Array.from(crypto.getRandomValues(new Uint8Array(16)), (b) => b.toString(16).padStart(2, "0")).join("");
            this.say({ hakuban: 1, name: this.name, path: [id], serializers: ["json"], compressors: ["none"],
                keep_alive_ms: KEEP_ALIVE_MS, window: WINDOW, state_max: STATE_MAX });
            this.alive = setInterval(() => this.say([PING]), KEEP_ALIVE_MS);
        };
        this.socket.onmessage = (event) => {
            try {
                for (const reader = new Reader(new Uint8Array(event.data)); reader.left;) {
                    const before = reader.at, body = new Reader(reader.take(reader.varint()));
                    const header = JSON.parse(decoder.decode(body.take(body.varint())));
                    this.hear(header, body.take(body.left), reader.at - before);
                }
                if (this.received - this.acknowledged >= WINDOW / 4) {
                    this.acknowledged = this.received;
                    this.say([ACK, this.received]);
                }
            } catch (error) {
                this.fail(error.message);
            }
        };
        this.socket.onclose = (event) => this.lost(event.reason || "the connection was lost");
    }

    fail(text) {
        if (this.open) this.say([ERROR, text]);
        this.lost(text);
        this.socket.close();
    }

    // Tries again by itself, after pauses that grow to ten seconds and differ from page to page.
    lost(text) {
        clearInterval(this.alive);
        this.socket.onmessage = this.socket.onclose = this.socket.onopen = null;
        for (const object of this.channels.values()) {
            object.freshness = "stale";
            object.changed(object);
        }
        this.channels = new Map();
        if (this.ended) return;
        this.onstatus(text);
        this.retry = setTimeout(() => this.connect(), Math.random() * this.pause + 10);
        this.pause = Math.min(2 * this.pause, 10000);
    }

    say(header) { if (this.socket.readyState === 1) this.socket.send(frame(header)); }

    hear(header, payload, bytes) {
        if (!this.open) return this.begin(header);
        const [kind, ...fields] = header;
        if (kind !== ACK && kind !== PING) this.received += bytes;
        if (kind === ERROR) throw new Error(fields[0]);
        if (kind === BYE) return this.fail("the other side has ended the connection");
        if (kind === STREAM_OPEN) return this.openStream(fields);
        const object = this.channels.get(fields[0]);
        if (!object) return;
        if (kind === CLOSE) {
            this.channels.delete(fields[0]);
            object.gone = true;
            object.changed(object);
        } else if (kind === CONDITION) {
            object.freshness = ["never", "live", "stale"][fields[1]];
            object.changed(object);
        } else if (kind === PART) {
            this.part(object, payload);
        } else if (kind >= STATE && kind < STATE + 64) {
            this.state(object, kind - STATE, fields, payload);
        }
    }

    begin(hello) {
        if (hello.refused) throw new Error("refused: " + hello.refused);
        if (hello.hakuban !== 1 || hello.serializers?.[0] !== "json" || hello.compressors?.[0] !== "none")
            throw new Error("the other side answers with what was not offered");
        this.open = true;
        this.pause = 100;
        this.onstatus("connected to " + hello.name);
        for (const { kind, text } of this.wanted.values()) this.say([kind, 1, 0, text]);
    }

    openStream([channel, freshness, , , text, ...tags]) {
        const wants = [...this.wanted.values()].filter(({ kind, text: of }) => (kind === TAG ? tags.includes(of) : of === text));
        const object = { channel, name: text, json: JSON.parse(text), tags: tags.map((tag) => JSON.parse(tag)), data: null,
            format: [], freshness: ["never", "live", "stale"][freshness], states: 0, gone: false,
            get text() { return this.data ? decoder.decode(this.data) : null; },
            changed: (it) => wants.forEach(({ changed }) => changed(it)) };
        this.channels.set(channel, object);
        object.changed(object);
    }

    state(object, flags, fields, payload) {
        const rest = fields.slice(2);
        const coming = { age: flags & STALE ? rest.shift() : undefined, size: flags & PARTS ? rest.shift() + 4 : payload.length,
            format: flags & FORMAT ? rest.shift() : undefined, pieces: [], filled: 0 };
        if (!(coming.size >= 5 && coming.size <= STATE_MAX + 65536)) throw new Error("a state of a wrong size");
        object.coming = coming;
        this.part(object, payload);
    }

    part(object, payload) {
        const coming = object.coming;
        if (!coming || coming.filled + payload.length > coming.size) throw new Error("a piece of nothing");
        coming.pieces.push(payload.slice());
        coming.filled += payload.length;
        if (coming.filled < coming.size) return;
        object.coming = null;
        const whole = new Uint8Array(coming.size);
        for (let at = 0; coming.pieces.length; at += coming.pieces[0].length, coming.pieces.shift()) whole.set(coming.pieces[0], at);
        this.take(object, coming, whole);
    }

    take(object, { age, format }, payload) {
        const anew = payload[4] === 4;
        if (object.resent && !(anew && format)) return; // until it comes as a whole
        const data = applyDelta(object.data, payload.subarray(4));
        if (check(data) !== new DataView(payload.buffer, payload.byteOffset).getUint32(0, true)) {
            if (anew) throw new Error("a state that is not what it should be");
            object.resent = true;
            return this.say([RESEND, object.channel]);
        }
        object.resent = false;
        object.data = data;
        object.format = format ?? object.format;
        object.freshness = age === undefined ? "live" : "stale";
        object.states++;
        object.changed(object);
    }
}
