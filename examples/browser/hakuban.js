// Observes tags and objects of a Hakuban router from a page, or from node: the native protocol over WebSocket, with JSON headers and
// nothing compressed. docs/wire.md describes every byte of it.
//
//     const hub = new Hakuban("ws://127.0.0.1:3001");
//     const loads = hub.observe("utilizations", (object) => console.log(object.json, object.text, object.freshness));
//     hub.observeObject({ host: "a" }, (object) => …, { tags: ["utilizations"] });
//     hub.onstatus = (text) => …;
//     loads.stop();
import { canonical, compareBytes } from "./canonical.js";
import { check } from "./xxh3.js";

const ACK = 1, PING = 2, BYE = 3, ERROR = 4, OBJECT = 8, TAG = 9, STREAM_OPEN = 12, CLOSE = 14, LISTED = 16, CONDITION = 20, PART = 22,
    RESEND = 23, STATE = 64;
const STALE = 2, PARTS = 4, FORMAT = 1;
// Browsers let the timers of a hidden page fire once a minute: the page promises no more than that, and says more while it is seen.
const PROMISE_MS = 70000, PING_MS = 20000, SILENCES = 2.5;
const WINDOW = 256 * 1024, STATE_MAX = 16 * 1024 * 1024, LEVELS = ["never", "live", "stale"];
const encoder = new TextEncoder(), decoder = new TextDecoder();

// Goes through bytes; reading past their end ends the connection.
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

// An observed object. Its name is the canonical text of its JSON value and those of its tags.
class ObservedObject {
    constructor(name, tags) {
        this.name = name;
        this.json = JSON.parse(name);
        this.tagNames = tags;
        this.tags = tags.map((tag) => JSON.parse(tag));
        this.key = keyOf(name, tags);
        this.data = null;
        this.format = [];
        this.states = 0;
        this.freshness = "never";
        this.gone = false;
        this.channel = 0; // 0: there is no stream at the moment
    }
    get text() { return this.data ? decoder.decode(this.data) : null; }
    // Why there is no state, where the exposer says so; null: it does not.
    get error() { return this.format.length === 1 && this.format[0] === "ERROR" ? this.text : null; }
}

const keyOf = (name, tags) => JSON.stringify([name, ...tags]);

export class Hakuban {
    constructor(url, { name = "page", socket = globalThis.WebSocket } = {}) {
        this.url = url;
        this.name = name;
        this.socketClass = socket;
        this.interests = new Map(); // what was asked for, by key: the message that asks for it and its observers
        this.objects = new Map();
        this.pause = 100;
        this.onstatus = () => {};
        this.connect();
        globalThis.document?.addEventListener?.("visibilitychange", () => this.hurry());
        globalThis.addEventListener?.("online", () => this.hurry());
    }

    observe(tag, changed) {
        const name = canonical(tag);
        return this.add(TAG + name, { message: [TAG, [name]], covers: (object) => object.tagNames.includes(name) }, changed);
    }

    observeObject(json, changed, { tags = [] } = {}) {
        const name = canonical(json), names = [...new Set(tags.map(canonical))].sort(compareBytes), key = keyOf(name, names);
        return this.add(OBJECT + key, { message: [OBJECT, [name, ...names]], covers: (object) => object.key === key }, changed);
    }

    add(key, made, changed) {
        const observer = { changed };
        let interest = this.interests.get(key);
        if (interest) {
            queueMicrotask(() => {
                for (const object of this.objects.values()) if (interest.covers(object)) this.tellOne(interest, observer, object);
            });
        } else {
            interest = { ...made, observers: new Set(), listings: 0 };
            this.interests.set(key, interest);
            if (this.open) this.ask(interest);
        }
        interest.observers.add(observer);
        return { stop: () => this.remove(key, interest, observer) };
    }

    remove(key, interest, observer) {
        if (!interest.observers.delete(observer) || interest.observers.size) return;
        this.interests.delete(key);
        if (this.open) this.say([interest.message[0], 0, 0, ...interest.message[1]]);
        for (const object of this.objects.values()) if (!this.isObserved(object)) this.objects.delete(object.key);
    }

    ask(interest) {
        const [kind, names] = interest.message;
        if (kind === TAG) interest.listings++;
        this.say([kind, 1, 0, ...names]);
    }

    isObserved(object) { return [...this.interests.values()].some((interest) => interest.covers(object)); }

    tell(object) {
        for (const interest of this.interests.values())
            if (interest.covers(object)) for (const observer of [...interest.observers]) this.tellOne(interest, observer, object);
    }

    // What an observer throws is its own affair: it is reported, and everything else goes on.
    tellOne(interest, observer, object) {
        if (!interest.observers.has(observer)) return;
        try {
            observer.changed(object);
        } catch (error) {
            this.report(error);
        }
    }

    report(error) {
        if (typeof globalThis.reportError === "function") globalThis.reportError(error);
        else console.error(error);
    }

    sayStatus(text) {
        try {
            this.onstatus(text);
        } catch (error) {
            this.report(error);
        }
    }

    close() {
        this.ended = true;
        if (this.open) this.say([BYE]);
        clearTimeout(this.retry);
        this.lost("closed");
        this.socket.close();
    }

    connect() {
        this.channels = new Map();
        this.retry = null;
        this.open = false;
        this.received = this.acknowledged = 0;
        this.heard = performance.now();
        const socket = this.socket = new this.socketClass(this.url, "hakuban.1");
        socket.binaryType = "arraybuffer";
        socket.onopen = () => {
            if (socket.protocol !== "hakuban.1") return this.fail("the other side does not speak hakuban.1");
            const id = Array.from(crypto.getRandomValues(new Uint8Array(16)), (b) => b.toString(16).padStart(2, "0")).join("");
            this.say({ hakuban: 1, name: this.name, path: [id], serializers: ["json"], compressors: ["none"],
                keep_alive_ms: PROMISE_MS, window: WINDOW, state_max: STATE_MAX });
        };
        socket.onmessage = (event) => {
            this.heard = performance.now();
            try {
                this.take(new Reader(new Uint8Array(event.data)));
            } catch (error) {
                this.fail(error.message);
            }
        };
        socket.onclose = (event) => this.lost(event.reason || "the connection was lost");
        // In node a connection that was refused has an error only; in browsers the end follows, which is heard no more then.
        socket.onerror = () => this.lost("the connection failed");
    }

    take(reader) {
        while (reader.left) {
            const before = reader.at, body = new Reader(reader.take(reader.varint()));
            const header = JSON.parse(decoder.decode(body.take(body.varint())));
            this.hear(header, body.take(body.left), reader.at - before);
            if (!this.socket.onmessage) return; // the connection has ended meanwhile
        }
        if (this.received - this.acknowledged >= WINDOW / 4) {
            this.acknowledged = this.received;
            this.say([ACK, this.received]);
        }
    }

    fail(text) {
        if (this.open) this.say([ERROR, text]);
        this.lost(text);
    }

    // Tries again by itself, after pauses that grow to ten seconds and differ from page to page.
    lost(text) {
        const socket = this.socket;
        if (!socket.onclose) return;
        clearInterval(this.alive);
        socket.onmessage = socket.onclose = socket.onopen = null;
        socket.onerror = () => {};
        socket.close();
        this.open = false;
        this.channels = new Map();
        for (const interest of this.interests.values()) interest.listings = 0;
        for (const object of this.objects.values()) {
            object.channel = 0;
            if (object.freshness === "live") object.freshness = "stale";
            this.tell(object);
        }
        if (this.ended) return;
        this.retry = setTimeout(() => this.connect(), Math.random() * this.pause + 10);
        this.pause = Math.min(2 * this.pause, 10000);
        this.sayStatus(text);
    }

    // The page is seen again, or the network is back: the pause is over.
    hurry() {
        if (globalThis.document?.visibilityState === "hidden" || !this.retry) return;
        clearTimeout(this.retry);
        this.connect();
    }

    say(header) {
        if (this.socket.readyState === 1) this.socket.send(frame(header));
    }

    hear(header, payload, bytes) {
        if (!this.open) return this.begin(header);
        const [kind, ...fields] = header;
        if (kind !== ACK && kind !== PING) this.received += bytes;
        if (kind === ERROR) throw new Error(fields[0]);
        if (kind === BYE) return this.fail("the other side has ended the connection");
        if (kind === STREAM_OPEN) return this.openStream(fields);
        if (kind === LISTED) return this.listed(fields[0]);
        const object = this.channels.get(fields[0]);
        if (!object) return;
        if (kind === CLOSE) {
            this.channels.delete(object.channel);
            object.channel = 0;
            this.end(object);
        } else if (kind === CONDITION) {
            object.freshness = LEVELS[fields[1]];
            this.tell(object);
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
        const silence = SILENCES * (hello.keep_alive_ms || PING_MS);
        this.alive = setInterval(() => {
            if (performance.now() - this.heard > silence) this.fail(`nothing was heard for ${Math.round(silence / 1000)} s`);
            else this.say([PING]);
        }, PING_MS);
        for (const interest of this.interests.values()) this.ask(interest);
        this.sayStatus("connected to " + hello.name);
    }

    openStream([channel, freshness, , , name, ...tags]) {
        let object = this.objects.get(keyOf(name, tags));
        if (!object) {
            object = new ObservedObject(name, tags);
            if (!this.isObserved(object)) return; // observing has stopped meanwhile; nothing on this channel is listened to
            this.objects.set(object.key, object);
        }
        this.channels.delete(object.channel);
        this.channels.set(channel, object);
        Object.assign(object, { channel, base: null, coming: null, resent: false, freshness: LEVELS[freshness] });
        if (object.freshness === "never") object.data = null;
        this.tell(object);
    }

    // Every object that the tag has now is open: those that were known before and are not were ended while the connection was lost.
    listed(name) {
        const interest = this.interests.get(TAG + name);
        if (!interest || --interest.listings > 0) return;
        for (const object of this.objects.values()) if (interest.covers(object) && !object.channel) this.end(object);
    }

    end(object) {
        this.objects.delete(object.key);
        object.gone = true;
        this.tell(object);
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
        this.apply(object, coming, whole);
    }

    apply(object, { age, format }, payload) {
        const anew = payload[4] === 4;
        if (object.resent && !(anew && format)) return; // until it comes as a whole
        const data = applyDelta(object.base, payload.subarray(4));
        if (check(data) !== new DataView(payload.buffer, payload.byteOffset).getUint32(0, true)) {
            if (anew) throw new Error("a state that is not what it should be");
            object.resent = true;
            return this.say([RESEND, object.channel]);
        }
        object.resent = false;
        object.data = object.base = data;
        object.format = format ?? object.format;
        object.freshness = age === undefined ? "live" : "stale";
        object.states++;
        this.tell(object);
    }
}
