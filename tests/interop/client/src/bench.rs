//! The work of hakuban-bench done by clients of the Rust crate: the same objects, tags and states as in bench/*.c. Each client
//! has an exchange and a connection of its own. Figures are printed as "key value"; a line "ready" waits for a line.

use std::{
    sync::{
        atomic::{AtomicU64, Ordering},
        Arc,
    },
    time::{Duration, Instant},
};

use futures::{SinkExt, StreamExt};
use hakuban::{
    tokio_runtime::WebsocketConnector, Exchange, ObjectDescriptor, ObjectState, ObjectStateSink,
    ObjectStateStream,
};
use serde_json::{json, Value};
use tokio::sync::Notify;

const HEAD: &str = "{\"id\":1000000,\"n\":1000000000000000000,\"pad\":\"";
const WARM_UP: u64 = 100;
const PATIENCE: Duration = Duration::from_secs(900);

/// JSON text of a given length in which one number changes.
#[derive(Clone)]
struct Template(Vec<u8>);

impl Template {
    fn new(bytes: usize) -> Template {
        let mut random: u64 = 0x9e3779b97f4a7c15;
        let mut text = HEAD.as_bytes().to_vec();
        while text.len() < bytes - 2 {
            random ^= random << 13;
            random ^= random >> 7;
            random ^= random << 17;
            text.push(b"0123456789abcdef"[(random >> 60) as usize]);
        }
        text.extend_from_slice(b"\"}");
        Template(text)
    }

    fn state(&mut self, id: u64, number: u64) -> ObjectState<Arc<Vec<u8>>> {
        self.0[7..13].copy_from_slice(format!("{id:06}").as_bytes());
        self.0[19..37].copy_from_slice(format!("{number:018}").as_bytes());
        ObjectState::new(Arc::new(self.0.clone())).with_format(vec!["JSON".to_string()])
    }
}

fn numbers_of(data: &[u8]) -> (u64, u64) {
    let digits = |from: usize, to: usize| {
        data[from..to].iter().fold(0, |sum, digit| sum * 10 + u64::from(digit - b'0'))
    };
    (digits(7, 13), digits(19, 37))
}

struct Client {
    exchange: Exchange,
    _connector: WebsocketConnector,
}

fn client(url: &str) -> Client {
    let exchange = Exchange::new();
    let connector = WebsocketConnector::new(exchange.clone(), url).expect("a URL");
    Client { exchange, _connector: connector }
}

fn object(json: Value, tags: &[&str]) -> ObjectDescriptor {
    let tags: Vec<Value> = tags.iter().map(|tag| json!(tag)).collect();
    ObjectDescriptor::new(tags, json)
}

fn percentile(sorted: &[f64], percent: f64) -> f64 {
    sorted[((sorted.len() as f64 * percent / 100.0).ceil() as usize).max(1) - 1]
}

async fn ready() {
    println!("ready");
    tokio::task::spawn_blocking(|| std::io::stdin().read_line(&mut String::new()))
        .await
        .expect("a thread")
        .expect("a line");
}

/// One side of ping, with its own object and the other's.
async fn side(url: &str, own: &str, other: &str) -> (Client, ObjectStateSink, ObjectStateStream) {
    let client = client(url);
    let mut sinks = client.exchange.object_expose_contract(object(json!(own), &[])).build();
    let mut streams = client.exchange.object_observe_contract(object(json!(other), &[])).build();
    let sink = sinks.next().await.expect("a sink");
    let stream = streams.next().await.expect("a stream");
    std::mem::forget((sinks, streams)); // they live as long as the program
    (client, sink, stream)
}

/// B of ping: until it is killed.
async fn answer(url: &str, bytes: usize) {
    let (_client, mut sink, mut stream) = side(url, "ping b", "ping a").await;
    let mut template = Template::new(bytes);
    while let Some(state) = stream.next().await {
        let (id, number) = numbers_of(&state.data);
        sink.send(template.state(id, number)).await.expect("a sink that takes states");
    }
}

async fn ping(url: &str, bytes: usize, count: u64) {
    let (_client, mut sink, mut stream) = side(url, "ping a", "ping b").await;
    let mut template = Template::new(bytes);
    let warm_up = WARM_UP.min(count);
    let (mut rounds, mut start) = (Vec::new(), Instant::now());
    for number in 1..=warm_up + count {
        if number == warm_up + 1 {
            start = Instant::now();
        }
        let sent = Instant::now();
        sink.send(template.state(0, number)).await.expect("a sink that takes states");
        loop {
            let state = stream.next().await.expect("a stream that goes on");
            // The same state comes again when its synchronization changes.
            if numbers_of(&state.data).1 == number {
                break;
            }
        }
        if number > warm_up {
            rounds.push(sent.elapsed().as_secs_f64() * 1e6);
        }
    }
    println!("round_trips_per_s {}", count as f64 / start.elapsed().as_secs_f64());
    rounds.sort_by(f64::total_cmp);
    println!("p50_us {}", percentile(&rounds, 50.0));
    println!("p99_us {}", percentile(&rounds, 99.0));
}

/// Sinks of the objects 0 to count - 1, in order.
async fn expose_all(exchange: &Exchange, objects: Vec<ObjectDescriptor>) -> Vec<ObjectStateSink> {
    let contracts: Vec<_> = objects
        .into_iter()
        .map(|object| exchange.object_expose_contract(object).build())
        .collect();
    let mut sinks = Vec::with_capacity(contracts.len());
    for mut contract in contracts {
        sinks.push(contract.next().await.expect("a sink"));
        std::mem::forget(contract); // it lives as long as the program
    }
    sinks
}

struct Seat {
    seen: AtomicU64,
    skipped: AtomicU64,
}

async fn flood(url: &str, bytes: usize, objects: u64, observers: usize, seconds: f64) {
    let seats: Arc<Vec<Seat>> = Arc::new(
        (0..observers).map(|_| Seat { seen: AtomicU64::new(0), skipped: AtomicU64::new(0) }).collect(),
    );
    let progress = Arc::new(Notify::new());
    let mut clients = Vec::new();
    for index in 0..observers {
        let observer = client(url);
        let contract = observer.exchange.tag_observe_contract("bench").build();
        clients.push(observer);
        let (seats, progress) = (seats.clone(), progress.clone());
        tokio::spawn(contract.for_each_concurrent(None, move |mut stream| {
            let (seats, progress) = (seats.clone(), progress.clone());
            async move {
                let mut last = None;
                while let Some(state) = stream.next().await {
                    assert_eq!(state.data.len(), bytes);
                    let (id, number) = numbers_of(&state.data);
                    let expected = last.map_or(id, |last| last + objects);
                    if number < expected {
                        continue; // the same again, otherwise synchronized
                    }
                    let skipped = (number - expected) / objects;
                    last = Some(number);
                    seats[index].skipped.fetch_add(skipped, Ordering::Relaxed);
                    seats[index].seen.fetch_add(1 + skipped, Ordering::Release);
                    progress.notify_one();
                }
            }
        }));
    }
    let slowest = || seats.iter().map(|seat| seat.seen.load(Ordering::Acquire)).min().unwrap_or(0);
    let exposer = client(url);
    let mut template = Template::new(bytes);
    let all = (0..objects).map(|id| object(json!(id), &["bench"])).collect();
    let mut sinks = expose_all(&exposer.exchange, all).await;
    let mut sent = 0;
    let mut start = Instant::now();
    loop {
        if sent == objects {
            while slowest() < objects {
                progress.notified().await;
            }
            seats.iter().for_each(|seat| seat.skipped.store(0, Ordering::Relaxed));
            start = Instant::now();
        }
        if sent > objects && start.elapsed().as_secs_f64() >= seconds {
            break;
        }
        // All that may be on the way are as many as there are objects: nothing needs to be skipped.
        while sent >= objects && sent - slowest() >= objects {
            progress.notified().await;
        }
        let id = sent % objects;
        let state = template.state(id, sent);
        sinks[id as usize].send(state).await.expect("a sink that takes states");
        sent += 1;
        if sent % 50 == 0 {
            tokio::task::yield_now().await;
        }
    }
    while slowest() < sent {
        progress.notified().await;
    }
    let skipped: u64 = seats.iter().map(|seat| seat.skipped.load(Ordering::Relaxed)).sum();
    let skipped = skipped as f64 / observers as f64;
    let delivered = (sent - objects) as f64 - skipped;
    println!("states_per_s {}", delivered / start.elapsed().as_secs_f64());
    println!("skipped {skipped}");
}

/// Returns once a state of each of so many objects has come.
async fn take_all(exchange: &Exchange, count: u64) {
    let seen = Arc::new(AtomicU64::new(0));
    let done = Arc::new(Notify::new());
    let contract = exchange.tag_observe_contract("lamps").build();
    let (all, finished) = (seen.clone(), done.clone());
    tokio::spawn(contract.for_each_concurrent(None, move |mut stream| {
        let (all, finished) = (all.clone(), finished.clone());
        async move {
            if stream.next().await.is_some() && all.fetch_add(1, Ordering::AcqRel) + 1 == count {
                finished.notify_one();
            }
            while stream.next().await.is_some() {}
        }
    }));
    done.notified().await;
}

async fn objects(url: &str, bytes: usize, count: u64) {
    let (holder, exposer) = (client(url), client(url));
    let begin = Instant::now();
    let lamps = (0..count).map(|id| object(json!({"kind": "lamp", "id": id}), &["lamps"])).collect();
    let exposing = async {
        let mut template = Template::new(bytes);
        let mut sinks = expose_all(&exposer.exchange, lamps).await;
        for (id, sink) in sinks.iter_mut().enumerate() {
            sink.send(template.state(id as u64, 1)).await.expect("a sink that takes states");
        }
        sinks
    };
    let (_sinks, _) = tokio::join!(exposing, take_all(&holder.exchange, count));
    println!("fill_ms {}", begin.elapsed().as_secs_f64() * 1e3);
    ready().await;
    let begin = Instant::now();
    let joiner = client(url);
    take_all(&joiner.exchange, count).await;
    println!("join_ms {}", begin.elapsed().as_secs_f64() * 1e3);
}

async fn idle(url: &str, count: u64) {
    let mut clients = Vec::new();
    for _ in 0..count {
        clients.push(client(url));
        while clients.last().is_some_and(|c| c._connector.snapshot().upstream_connection.is_none()) {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    }
    ready().await;
}

/// ping URL BYTES COUNT | answer URL BYTES | flood URL BYTES OBJECTS OBSERVERS SECONDS | objects URL BYTES OBJECTS | idle URL COUNT
pub async fn run(arguments: &[String]) {
    let number = |index: usize| -> f64 {
        let text = arguments.get(index).expect("one more number");
        text.parse().expect("a number")
    };
    let url = arguments.get(1).expect("a URL");
    let work = async {
        match arguments[0].as_str() {
            "ping" => ping(url, number(2) as usize, number(3) as u64).await,
            "answer" => answer(url, number(2) as usize).await,
            "flood" => {
                let (objects, observers) = (number(3) as u64, number(4) as usize);
                flood(url, number(2) as usize, objects, observers, number(5)).await
            }
            "objects" => objects(url, number(2) as usize, number(3) as u64).await,
            "idle" => idle(url, number(2) as u64).await,
            other => panic!("what is {other}?"),
        }
    };
    if tokio::time::timeout(PATIENCE, work).await.is_err() {
        eprintln!("{} took longer than {PATIENCE:?}", arguments[0]);
        std::process::exit(1);
    }
    // Ending thousands of tasks one by one is in no figure.
    std::process::exit(0);
}
