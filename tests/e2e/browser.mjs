// examples/browser against a real router, in node and, where it is found, in headless Chromium: states of all sizes and their
// differences arrive, are checked and shown. browser.mjs <folder of programs> <folder of examples> <source>; exit code 77: skipped.
import { spawn, spawnSync } from "node:child_process";
import { createServer } from "node:http";
import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { createInterface } from "node:readline";

const [bin, examples, source] = process.argv.slice(2);
const PATIENCE_MS = 60000;
if (typeof WebSocket === "undefined") {
    console.log("skipped: this node has no WebSocket");
    process.exit(77);
}
const { Hakuban, applyDelta } = await import(`${source}/examples/browser/hakuban.js`);
const { canonical } = await import(`${source}/examples/browser/canonical.js`);
const children = [];
const [profile, folder] = ["browser", "page"].map((name) => mkdtempSync(`${tmpdir()}/hakuban-${name}-`));

function run(program, ...words) {
    const child = spawn(program, words, { stdio: ["pipe", "pipe", "inherit"] });
    children.push(child);
    return child;
}

function must(condition, text) {
    if (!condition) throw new Error(text);
}

// A promise that resolve() keeps; it fails when that does not happen.
function until(what) {
    let resolve;
    const promise = new Promise((done, fail) => {
        resolve = done;
        setTimeout(() => fail(new Error("waited in vain for " + what)), PATIENCE_MS).unref();
    });
    return { promise, resolve };
}

// Resolves when condition() holds, which is looked at again and again.
async function holds(what, condition) {
    for (const end = Date.now() + PATIENCE_MS; !condition(); await new Promise((done) => setTimeout(done, 20)))
        must(Date.now() < end, "waited in vain: " + what);
}

async function startRouter(origin, ...words) { return (await startRouterAt(0, origin, ...words)).url; }

async function startRouterAt(port, origin, ...words) {
    const router = run(`${bin}/hakuban-router`, "-b", `tcp://127.0.0.1:${port}${origin ? "#origin=" + origin : ""}`, ...words);
    for await (const line of createInterface(router.stdout)) return { router, url: line.replace("listening tcp", "ws") };
}

function expose(url, state, object, ...tags) {
    const exposer = run(`${bin}/hakuban`, "expose", "-c", url.replace("ws", "tcp"), "--keep", ...tags.flatMap((tag) => ["--tag", tag]), object);
    exposer.stdin.end(state + "\n");
    return exposer;
}

async function statesOfAllSizes(url) {
    const texts = [0, 1, 2, 5, 6, 13, 14, 15, 30, 60, 100, 126, 127, 150, 237, 238, 239, 500, 1021, 1022, 1023, 1100, 5000, 70000,
        70001, 200000].map((length) => JSON.stringify("é".repeat(length % 3) + "x".repeat(length - 2 * (length % 3) > 0 ? length - 2 * (length % 3) : 0)));
    texts.push(texts.at(-1).replace("xxxx", "yzyz"), texts.at(-1).slice(0, 100) + '"', '"the end"');
    const exposer = run(`${bin}/hakuban`, "expose", "-c", url.replace("ws", "tcp"), "--tag", '"t"', '{"a":1}');
    const hub = new Hakuban(url);
    let wanted = until("the first state"), now;
    hub.observe("t", (object) => {
        now = object;
        if (object.text === wanted.text) wanted.resolve();
    });
    for (const text of texts) {
        wanted = until(`a state of ${text.length} characters`);
        wanted.text = text;
        exposer.stdin.write(text + "\n");
        await wanted.promise;
        must(now.json.a === 1 && now.tags[0] === "t" && now.freshness === "live" && now.format[0] === "JSON", "wrong words");
        must(!now.resent, "a check did not match");
    }
    wanted = until("the end of the object");
    exposer.stdin.end();
    await new Promise((done) => { const timer = setInterval(() => { if (now.gone || now.freshness !== "live") { clearInterval(timer); done(); } }, 20); });
    hub.close();
}

// docs/wire.md, "Names of objects and tags".
function namesAreCanonical() {
    for (const [value, name] of [
        [{ q: 1, limit: [2, { b: null, a: true }] }, '{"limit":[2,{"a":true,"b":null}],"q":1}'],
        [{ "\u{1F600}": 1, "\uffff": 2 }, '{"\uffff":2,"\u{1F600}":1}'],
        ["\u0001\"\\/\n\u007f", '"\\u0001\\"\\\\/\\n\u007f"'],
        [1, "1"], [-0, "0.0"], [0.1, "0.1"], [1.5e-6, "1.5e-6"], [0.00001, "0.00001"], [2 ** 63, "9223372036854775808"],
        [1e20, "1e20"], [1e16, "10000000000000000"], [12345.678, "12345.678"], [-1e22, "-1e22"], [2n ** 64n - 1n, "18446744073709551615"],
    ]) must(canonical(value) === name, `${name} is called ${canonical(value)}`);
    for (const wrong of [NaN, Infinity, undefined, () => 1, new Map(), Symbol("s"), 2n ** 64n, "\ud800", [undefined], { a: NaN }]) {
        let refused = false;
        try { canonical(wrong); } catch (error) { refused = error instanceof TypeError; }
        must(refused, "a value that is no JSON got a name");
    }
}

// Keys in any order and tags in any order name one object; other tags name another.
async function anObjectIsItsNameAndItsTags(url) {
    expose(url, '"right"', '{"limit":5,"q":"x"}', '"a"', '"b"');
    expose(url, '"wrong"', '{"limit":5,"q":"x"}', '"a"');
    const hub = new Hakuban(url), seen = new Map();
    let direct = null;
    hub.observeObject({ q: "x", limit: 5 }, (object) => { direct = object; }, { tags: ["b", "a"] });
    hub.observe("a", (object) => seen.set(object.key, object));
    await holds("both objects have a state", () => seen.size === 2 && [...seen.values()].every(({ text }) => text));
    must(direct.text === '"right"', "another object was observed");
    hub.close();
}

async function anObserverThatThrowsDisturbsNoOther(url) {
    const reported = [], before = console.error;
    console.error = (error) => reported.push(error);
    expose(url, "1", '"one"', '"thrown"');
    const hub = new Hakuban(url), statuses = [];
    let state = null;
    hub.onstatus = (text) => { statuses.push(text); throw new Error("of the status"); };
    hub.observe("thrown", () => { throw new Error("of an observer"); });
    hub.observe("thrown", (object) => { state = object.text; });
    await holds("the other observer has the state", () => state === "1");
    console.error = before;
    must(statuses.length === 1 && statuses[0].startsWith("connected"), "the connection ended: " + statuses);
    must(reported.some((error) => error.message === "of an observer"), "what was thrown was not reported");
    hub.close();
}

async function observingCanBeStopped(url) {
    expose(url, "1", '"stopped"', '"s"');
    const hub = new Hakuban(url);
    let calls = 0, others = 0, late = null;
    const contract = hub.observe("s", () => { calls++; if (calls === 1) contract.stop(); });
    hub.observe("s", (object) => { others += object.text === "1"; });
    await holds("the observer that stays has the state", () => others > 0);
    must(calls === 1, "an observer that has stopped was called");
    hub.observe("s", (object) => { late = object.text; });
    await holds("an observer that comes later has the state at once", () => late === "1");
    hub.close();
    const alone = new Hakuban(url);
    let closed = 0;
    const only = alone.observe("s", () => closed++);
    await holds("the only observer is called", () => closed > 0);
    only.stop();
    const heard = closed;
    await holds("nothing is kept", () => alone.objects.size === 0 && alone.interests.size === 0);
    must(closed === heard, "an observer that has stopped was called");
    alone.close();
}

async function whatHasGoneWhileTheConnectionWasLostIsGone() {
    const { router, url } = await startRouterAt(0, ""), port = new URL(url).port;
    const exposers = ['"stays"', '"goes"'].map((name) => expose(url, name, name, '"l"'));
    const hub = new Hakuban(url), seen = new Map();
    hub.observe("l", (object) => seen.set(object.json, { freshness: object.freshness, gone: object.gone, text: object.text }));
    await holds("both are live", () => ["stays", "goes"].every((name) => seen.get(name)?.freshness === "live"));
    router.kill("SIGKILL");
    exposers[1].kill("SIGKILL");
    await holds("both are stale", () => [...seen.values()].every(({ freshness }) => freshness === "stale"));
    await startRouterAt(port, "");
    await holds("the one that stays is live again", () => seen.get("stays").freshness === "live" && !seen.get("stays").gone);
    await holds("the other one is gone", () => seen.get("goes").gone);
    hub.close();
}

// Timers of a hidden page fire once a minute.
function aHiddenPageKeepsWhatItPromises() {
    const said = [];
    class Socket {
        readyState = 1;
        protocol = "hakuban.1";
        send(bytes) { said.push(JSON.parse(new TextDecoder().decode(bytes.subarray(bytes.indexOf(0x7b))))); }
        close() {}
    }
    const hub = new Hakuban("ws://nowhere", { socket: Socket });
    hub.socket.onopen();
    hub.close();
    must(said[0].keep_alive_ms > 60000, "a word is promised sooner than a hidden page can give it");
}

// docs/wire.md has these.
function deltasOfTheDocument() {
    const encode = (text) => new TextEncoder().encode(text), decode = (bytes) => new TextDecoder().decode(bytes);
    const old = encode("The quick brown fox jumps over the lazy dog");
    const bytes = (text) => Uint8Array.from(text.split(" "), (digits) => parseInt(digits, 16));
    for (const [delta, result] of [
        ["00", "The quick brown fox jumps over the lazy dog"],
        ["09 0a 08 67 72 65 65", "The quick green fox jumps over the lazy dog"],
        ["01 02 2b 02 21", "The quick brown fox jumps over the lazy dog!"],
        ["01 08 0a 08 72 65 64 2d", "The quick red-brown fox jumps over the lazy dog"],
        ["01 01 00 03 04 41 15 04 65 64", "A quick brown fox jumped over the lazy dog"],
        ["01 2f 13 00", "The quick brown fox"],
        ["01 1f 00 00", "fox jumps over the lazy dog"],
        ["04", ""],
    ]) must(decode(applyDelta(old, bytes(delta))) === result, `${delta} gives ${decode(applyDelta(old, bytes(delta)))}`);
    for (const wrong of ["02", "09 ff 01 00", "09 0a ff 01", "01", "09 00 01", "09 2b 08 61 62 63 64"]) {
        let refused = false;
        try { applyDelta(old, bytes(wrong)); } catch { refused = true; }
        must(refused, `${wrong} was taken`);
    }
}

// The page is loaded when its last picture has come, which this server takes its time for.
function servePage(slowMs) {
    const kinds = { html: "text/html", js: "text/javascript" };
    const server = createServer((request, response) => {
        const name = request.url.split("?")[0].slice(1) || "index.html";
        if (name === "slow.png") return void setTimeout(() => response.writeHead(404).end(), slowMs);
        if (!/^[a-z0-9]+\.(html|js)$/.test(name)) return void response.writeHead(404).end();
        const text = readFileSync(`${source}/examples/browser/${name}`, "utf8").replace("</html>", '<img src="slow.png"></html>');
        response.writeHead(200, { "Content-Type": kinds[name.split(".")[1]] }).end(text);
    });
    return new Promise((done) => server.listen(0, "127.0.0.1", () => done(server)));
}

async function servedByTheRouter() {
    const url = (await startRouter("", "--serve-page", `${source}/examples/browser`)).replace("ws", "http");
    for (const [name, kind] of [["index.html", "text/html"], ["hakuban.js", "text/javascript"], ["xxh3.js", "text/javascript"]]) {
        const answer = await fetch(`${url}/${name === "index.html" ? "?a=b" : name}`);
        must(answer.status === 200 && answer.headers.get("content-type").startsWith(kind), `${name} is not served`);
        must(await answer.text() === readFileSync(`${source}/examples/browser/${name}`, "utf8"), `${name} is another`);
    }
    for (const name of ["none.html", "README.md", "%2e%2e/all-top.c", ".git", "browser/index.html", "a".repeat(100) + ".js"])
        must((await fetch(`${url}/${name}`)).status === 404, `${name} is served`);
    must((await fetch((await startRouter()).replace("ws", "http"))).status === 426, "a page where none was wanted");
    await filesOfManyKinds();
    const refused = run(`${bin}/hakuban-router`, "-b", "tcp://127.0.0.1:0", "--serve-page", `${folder}/none`);
    must(await new Promise((done) => refused.on("exit", done)) !== 0, "a folder that is not there is served");
}

async function filesOfManyKinds() {
    const root = `${folder}/many`;
    mkdirSync(`${root}/sub/.hidden`, { recursive: true });
    for (const name of ["a.css", "a.svg", "a.json", "a.png", "a.mjs", "a.wasm", "sub/a.js", "sub/index.html", "sub/.hidden/a.js", ".a.js"])
        writeFileSync(`${root}/${name}`, name);
    symlinkSync("/etc", `${root}/etc`);
    symlinkSync("/etc/hosts", `${root}/hosts.txt`);
    const from = (await startRouter("", "--serve-page", root)).replace("ws", "http");
    for (const [name, kind] of [["a.css", "text/css; charset=utf-8"], ["a.svg", "image/svg+xml"], ["a.json", "application/json"],
        ["a.png", "image/png"], ["a.mjs", "text/javascript; charset=utf-8"], ["a.wasm", "application/wasm"],
        ["sub/a.js", "text/javascript; charset=utf-8"], ["sub/", "text/html; charset=utf-8"]]) {
        const answer = await fetch(`${from}/${name}`), text = await answer.text();
        must(answer.status === 200 && answer.headers.get("content-type") === kind, `${name} is served as ${answer.headers.get("content-type")}`);
        must(text === (name === "sub/" ? "sub/index.html" : name), `${name} is another file`);
    }
    for (const name of [".a.js", "sub/.hidden/a.js", "sub", "hosts.txt", "etc/hosts.txt", "sub/../.a.js", "none/a.js"])
        must((await fetch(`${from}/${name}`)).status === 404, `${name} is served`);
}

async function inChromium() {
    const chromium = ["/usr/bin/chromium", "/usr/bin/chromium-browser", "/usr/bin/google-chrome"].find(existsSync);
    if (!chromium) return console.log("there is no Chromium: the page was not looked at");
    const server = await servePage(4000), origin = `http://127.0.0.1:${server.address().port}`;
    const url = await startRouter(origin);
    startTops(url);
    const look = (...words) => new Promise((done) => {
        const child = spawn(chromium, ["--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
            "--disable-background-networking", "--disable-component-update", "--disable-sync", `--user-data-dir=${profile}`,
            "--window-size=900,400", ...words, look.page], { stdio: ["ignore", "pipe", "ignore"], timeout: PATIENCE_MS });
        let text = "";
        child.stdout.on("data", (piece) => { text += piece; });
        child.on("close", () => done(text));
    });
    look.page = `${origin}/?url=${url}`;
    lookAt(await look("--dump-dom"));
    // From the router itself, which needs no origin= then.
    for (const name of ["index.html", "hakuban.js", "canonical.js", "xxh3.js"])
        writeFileSync(`${folder}/${name}`, readFileSync(`${source}/examples/browser/${name}`, "utf8")
            .replace("</html>", `<img src="${origin}/slow.png"></html>`));
    const served = await startRouter("", "--serve-page", folder);
    startTops(served);
    look.page = served.replace("ws", "http") + "/";
    lookAt(await look("--dump-dom"));
    if (process.env.HAKUBAN_SCREENSHOT) await look(`--screenshot=${process.env.HAKUBAN_SCREENSHOT}`);
    server.close();
    server.closeAllConnections?.();
}

function startTops(url) {
    for (const name of ["number one", "<b>two</b>"])
        run(`${examples}/all-top`, url.replace("ws", "tcp"), "--name", name, "--every", "100ms").stdout.resume();
    for (const [state, ...tags] of [["null"], ['{"unlike":7}', '"other"'], ["[1]", '"third"']])
        expose(url, state, '{"host":"three"}', '"utilizations"', ...tags);
}

function lookAt(page) {
    must(page.includes("connected to "), "the page is not connected: " + page);
    must(page.includes("number one") && page.includes("&lt;b&gt;two&lt;/b&gt;"), "the page does not show both: " + page);
    must((page.match(/class="live"/g) ?? []).length === 5, "not all are live: " + page);
    must(page.split("three").length === 4, "objects of one name with other tags share a row: " + page);
    const rows = page.match(/<tr.*?<\/tr>/gs).map((row) => row.match(/<t[hd]/g).length);
    must(rows.every((cells) => cells === rows[0]), "values stand under wrong headings: " + page);
}

let code = 0;
try {
    deltasOfTheDocument();
    namesAreCanonical();
    aHiddenPageKeepsWhatItPromises();
    const url = await startRouter();
    await statesOfAllSizes(url);
    await anObjectIsItsNameAndItsTags(url);
    await anObserverThatThrowsDisturbsNoOther(url);
    await observingCanBeStopped(url);
    await whatHasGoneWhileTheConnectionWasLostIsGone();
    await servedByTheRouter();
    await inChromium();
} catch (error) {
    console.error(error);
    code = 1;
}
for (const child of children) child.kill("SIGTERM");
for (const made of [profile, folder]) rmSync(made, { recursive: true, force: true });
process.exit(code);
