// XXH3-64 with seed 0, the low 32 bits: the check of each state. Written for clearness; a state of a kilobyte takes some 50 µs.
const MASK = (1n << 64n) - 1n;
const [P1, P2, P3, P4, P5] = [0x9e3779b185ebca87n, 0xc2b2ae3d27d4eb4fn, 0x165667b19e3779f9n, 0x85ebca77c2b2ae63n,
    0x27d4eb2f165667c5n];
const [Q1, Q2, Q3] = [0x9e3779b1n, 0x85ebca77n, 0xc2b2ae3dn];
const SECRET_TEXT = "b8fe6c3923a44bbe7c01812cf721ad1cded46de9839097db7240a4a4b7b3671fcb79e64eccc0e578825ad07dccff7221" +
    "b8084674f743248ee03590e6813a264c3c2852bb91c300cb88d0658b1b532ea371644897a20df94e3819ef46a9deacd8" +
    "a8fa763fe39c343ff9dcbbc7c70b4f1d8a51e04bcdb45931c89f7ec9d9787364eac5ac8334d3ebc3c581a0fffa1363eb" +
    "170ddd51b7f0da49d316552629d4689e2b16be587d47a1fc8ff8b8d17ad031ce45cb3a8f95160428afd7fbcabb4b407e";
const SECRET = Uint8Array.from(SECRET_TEXT.match(/../g), (digits) => parseInt(digits, 16));
const STRIPE = 64, STRIPES_PER_BLOCK = (SECRET.length - STRIPE) / 8, BLOCK = STRIPE * STRIPES_PER_BLOCK;

const view = (bytes) => new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
const secret = view(SECRET);
const secret64 = (at) => secret.getBigUint64(at, true);
const secret32 = (at) => BigInt(secret.getUint32(at, true));
const rotate = (x, by) => ((x << by) | (x >> (64n - by))) & MASK;
const fold = (a, b) => { const product = a * b; return (product & MASK) ^ (product >> 64n); };

function swap(x) {
    let swapped = 0n;
    for (let i = 0; i < 8; i++, x >>= 8n) swapped = (swapped << 8n) | (x & 0xffn);
    return swapped;
}

function avalanche(hash) {
    hash ^= hash >> 37n;
    hash = (hash * 0x165667919e3779f9n) & MASK;
    return hash ^ (hash >> 32n);
}

function avalanche64(hash) {
    hash ^= hash >> 33n;
    hash = (hash * P2) & MASK;
    hash ^= hash >> 29n;
    hash = (hash * P3) & MASK;
    return hash ^ (hash >> 32n);
}

function short(data, length) {
    const size = BigInt(length);
    if (length === 0) return avalanche64(secret64(56) ^ secret64(64));
    if (length <= 3) {
        const [first, middle, last] = [0, length >> 1, length - 1].map((at) => BigInt(data.getUint8(at)));
        return avalanche64(((first << 16n) | (middle << 24n) | last | (size << 8n)) ^ secret32(0) ^ secret32(4));
    }
    if (length <= 8) {
        const low = BigInt(data.getUint32(length - 4, true)), high = BigInt(data.getUint32(0, true));
        let hash = (low + (high << 32n)) ^ secret64(8) ^ secret64(16);
        hash ^= rotate(hash, 49n) ^ rotate(hash, 24n);
        hash = (hash * 0x9fb21c651e98df25n) & MASK;
        hash ^= (hash >> 35n) + size;
        hash = (hash * 0x9fb21c651e98df25n) & MASK;
        return hash ^ (hash >> 28n);
    }
    const low = data.getBigUint64(0, true) ^ secret64(24) ^ secret64(32);
    const high = data.getBigUint64(length - 8, true) ^ secret64(40) ^ secret64(48);
    return avalanche((size + swap(low) + high + fold(low, high)) & MASK);
}

const mix = (data, at, of) =>
    fold(data.getBigUint64(at, true) ^ secret64(of), data.getBigUint64(at + 8, true) ^ secret64(of + 8));

function middle(data, length) {
    let hash = BigInt(length) * P1;
    if (length <= 128) {
        for (let i = (length - 1) >> 5; i >= 0; i--)
            hash += mix(data, 16 * i, 32 * i) + mix(data, length - 16 * (i + 1), 32 * i + 16);
        return avalanche(hash & MASK);
    }
    for (let i = 0; i < 8; i++) hash += mix(data, 16 * i, 16 * i);
    hash = avalanche(hash & MASK);
    for (let i = 8; i < length >> 4; i++) hash += mix(data, 16 * i, 16 * (i - 8) + 3);
    return avalanche((hash + mix(data, length - 16, 136 - 17)) & MASK);
}

function accumulate(sums, data, at, of) {
    for (let i = 0; i < 8; i++) {
        const value = data.getBigUint64(at + 8 * i, true), key = value ^ secret64(of + 8 * i);
        sums[i ^ 1] = (sums[i ^ 1] + value) & MASK;
        sums[i] = (sums[i] + (key & 0xffffffffn) * (key >> 32n)) & MASK;
    }
}

function long(data, length) {
    const sums = [Q3, P1, P2, P3, P4, Q2, P5, Q1];
    const blocks = Math.floor((length - 1) / BLOCK);
    for (let block = 0; block <= blocks; block++) {
        const last = block === blocks, begin = block * BLOCK;
        const stripes = last ? Math.floor((length - 1 - begin) / STRIPE) : STRIPES_PER_BLOCK;
        for (let i = 0; i < stripes; i++) accumulate(sums, data, begin + i * STRIPE, 8 * i);
        for (let i = 0; i < 8 && !last; i++) {
            const scrambled = sums[i] ^ (sums[i] >> 47n) ^ secret64(SECRET.length - STRIPE + 8 * i);
            sums[i] = (scrambled * Q1) & MASK;
        }
    }
    accumulate(sums, data, length - STRIPE, SECRET.length - STRIPE - 7);
    let hash = BigInt(length) * P1;
    for (let i = 0; i < 4; i++)
        hash += fold(sums[2 * i] ^ secret64(11 + 16 * i), sums[2 * i + 1] ^ secret64(11 + 16 * i + 8));
    return avalanche(hash & MASK);
}

export function check(bytes) {
    const data = view(bytes), length = bytes.length;
    const hash = length <= 16 ? short(data, length) : length <= 240 ? middle(data, length) : long(data, length);
    return Number(hash & 0xffffffffn);
}
