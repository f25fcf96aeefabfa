// The canonical text of a JSON value: two values name the same object exactly when these texts are equal. docs/wire.md, "Names of
// objects and tags", has the rules.
const encoder = new TextEncoder();

export function compareBytes(a, b) {
    const one = encoder.encode(a), other = encoder.encode(b);
    for (let at = 0; at < one.length && at < other.length; at++) if (one[at] !== other[at]) return one[at] - other[at];
    return one.length - other.length;
}

function text(value) {
    if (/\p{Surrogate}/u.test(value)) throw new TypeError("a text with half a surrogate pair is no JSON");
    return JSON.stringify(value);
}

// JSON.stringify() writes integers below 1e21 without a point, and so do names as far as 64 bits reach.
function number(value) {
    if (!Number.isFinite(value)) throw new TypeError(`${value} is no JSON`);
    if (value === 0) return Object.is(value, -0) ? "0.0" : "0";
    if (Number.isInteger(value) && value >= -(2 ** 63) && value < 2 ** 64) return BigInt(value).toString();
    const [mantissa, power] = Math.abs(value).toExponential().split("e");
    const digits = mantissa.replace(".", ""), point = Number(power) + 1, sign = value < 0 ? "-" : "";
    if (point > 16 || point <= -5) return `${sign}${mantissa}e${point - 1}`;
    if (point <= 0) return `${sign}0.${"0".repeat(-point)}${digits}`;
    return `${sign}${digits.slice(0, point).padEnd(point, "0")}.${digits.slice(point) || "0"}`;
}

function integer(value) {
    if (value < -(2n ** 63n) || value >= 2n ** 64n) throw new TypeError(`${value} needs more than 64 bits`);
    return value.toString();
}

export function canonical(value) {
    if (typeof value?.toJSON === "function") value = value.toJSON();
    if (value === null || typeof value === "boolean") return String(value);
    if (typeof value === "string") return text(value);
    if (typeof value === "number") return number(value);
    if (typeof value === "bigint") return integer(value);
    if (Array.isArray(value)) return `[${value.map(canonical).join(",")}]`;
    if (typeof value !== "object" || ![null, Object.prototype].includes(Object.getPrototypeOf(value)))
        throw new TypeError(`${Object.prototype.toString.call(value)} is no JSON`);
    return `{${Object.keys(value).sort(compareBytes).map((key) => `${text(key)}:${canonical(value[key])}`).join(",")}}`;
}
