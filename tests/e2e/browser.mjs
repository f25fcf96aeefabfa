// examples/browser against a real router, in node and, where it is found, in headless Chromium: states of all sizes and their
// differences arrive, are checked and shown. browser.mjs <folder of programs> <folder of examples> <source>; exit code 77: skipped.
import { spawn, spawnSync } from "node:child_process";
import { createServer } from "node:http";
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { createInterface } from "node:readline";

const [bin, examples, source] = process.argv.slice(2);
const PATIENCE_MS = 60000;
if (typeof WebSocket === "undefined") {
    console.log("skipped: this node has no WebSocket");
    process.exit(77);
}
const { Hakuban, applyDelta } = await import(`${source}/examples/browser/hakuban.js`);
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

// Resolves when done() is true; it is looked at whenever tell() is called.
function until(what) {
    let resolve;
    const promise = new Promise((done, fail) => {
        resolve = done;
        setTimeout(() => fail(new Error("waited in vain for " + what)), PATIENCE_MS).unref();
    });
    return { promise, resolve };
}

async function startRouter(origin, ...words) {
    const router = run(`${bin}/hakuban-router`, "-b", `tcp://127.0.0.1:0${origin ? "#origin=" + origin : ""}`, ...words);
    for await (const line of createInterface(router.stdout)) return line.replace("listening tcp", "ws");
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
    for (const name of ["index.html", "hakuban.js", "xxh3.js"])
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
}

function lookAt(page) {
    must(page.includes("connected to "), "the page is not connected: " + page);
    must(page.includes("number one") && page.includes("&lt;b&gt;two&lt;/b&gt;"), "the page does not show both: " + page);
    must((page.match(/class="live"/g) ?? []).length === 2, "not both are live: " + page);
}

let code = 0;
try {
    deltasOfTheDocument();
    await statesOfAllSizes(await startRouter());
    await servedByTheRouter();
    await inChromium();
} catch (error) {
    console.error(error);
    code = 1;
}
for (const child of children) child.kill("SIGTERM");
for (const made of [profile, folder]) rmSync(made, { recursive: true, force: true });
process.exit(code);
