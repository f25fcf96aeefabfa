//! A program with the Rust implementation in it that does what its standard input says and tells on standard output what
//! happens. tests/interop/README.md has the commands and events; tests/interop/leaf.c is the same with ours in it.

mod bench;

use std::{
    collections::HashMap,
    io::{BufRead, Write},
    sync::{Arc, Mutex},
};

use futures::{SinkExt, StreamExt};
use hakuban::{
    tokio_runtime::WebsocketConnector, Exchange, JsonDeserializeState, JsonSerializeState,
    ObjectDescriptor, ObjectState, ObjectStateSink, ObjectStateStream, TagDescriptor,
};
use serde_json::{json, Value};
use tokio::{sync::mpsc, task::JoinHandle};

type Bytes = Arc<Vec<u8>>;
/// Where states for an open sink go, by contract and object.
type Sinks = Arc<Mutex<HashMap<(String, String), mpsc::UnboundedSender<ObjectState<Bytes>>>>>;

fn tell(event: Value) {
    let mut out = std::io::stdout().lock();
    // Whoever reads has gone: so do we.
    if writeln!(out, "{event}").and_then(|_| out.flush()).is_err() {
        std::process::exit(1);
    }
}

fn event_of(id: &str, event: &str, object: &ObjectDescriptor) -> Value {
    let tags: Vec<Value> = object.tags.iter().map(|tag| tag.json.clone()).collect();
    json!({ "id": id, "event": event, "object": object.json, "tags": tags })
}

fn tell_of(id: &str, event: &str, object: &ObjectDescriptor) {
    tell(event_of(id, event, object));
}

async fn observe(id: String, mut stream: ObjectStateStream) {
    let object = stream.descriptor().clone();
    tell_of(&id, "open", &object);
    while let Some(state) = stream.next().await {
        let mut line = event_of(&id, "state", &object);
        line["version"] = json!(state.version);
        line["format"] = json!(state.format);
        line["synchronized"] = json!(state.synchronized.micros_ago() == 0);
        let text = String::from_utf8_lossy(&state.data).into_owned();
        match state.try_json_deserialize::<Value>() {
            Ok(value) => line["data"] = value.data,
            Err(_) => line["text"] = Value::String(text),
        }
        tell(line);
    }
    drop(stream);
    tell_of(&id, "close", &object);
}

async fn expose(id: String, mut sink: ObjectStateSink, sinks: Sinks) {
    let object = sink.descriptor().clone();
    let key = (id.clone(), object.json.to_string());
    let (sender, mut states) = mpsc::unbounded_channel();
    sinks.lock().unwrap().insert(key.clone(), sender.clone());
    tell_of(&id, "sink", &object);
    loop {
        tokio::select! {
            parameters = sink.next() => if parameters.is_none() { break },
            Some(state) = states.recv() => if sink.send(state).await.is_err() { break },
        }
    }
    drop(sink);
    let mut open = sinks.lock().unwrap();
    if open.get(&key).is_some_and(|there| there.same_channel(&sender)) {
        open.remove(&key);
    }
    drop(open);
    tell_of(&id, "unsink", &object);
}

struct Leaf {
    exchange: Exchange,
    connector: Option<WebsocketConnector>,
    contracts: HashMap<String, JoinHandle<()>>,
    sinks: Sinks,
}

fn object_of(words: &[&str]) -> Result<ObjectDescriptor, String> {
    let text = words.first().ok_or("an object is missing")?;
    let tags = words[1..].iter().map(|tag| tag.to_string()).collect();
    ObjectDescriptor::from_json_strings(tags, text.to_string()).map_err(|error| error.to_string())
}

fn tag_of(words: &[&str]) -> Result<TagDescriptor, String> {
    let text = words.first().ok_or("a tag is missing")?;
    TagDescriptor::from_json_string(text.to_string()).map_err(|error| error.to_string())
}

fn state_of(version: &str, format: &str, data: &str) -> Result<ObjectState<Bytes>, String> {
    let mut names: Vec<String> = format.split_whitespace().map(str::to_string).collect();
    let version: Vec<i64> = version
        .split_whitespace()
        .map(|number| number.parse().map_err(|_| format!("version {number}")))
        .collect::<Result<_, _>>()?;
    let mut state = if names.last().is_some_and(|name| name == "JSON") {
        names.pop();
        let value: Value = serde_json::from_str(data).map_err(|error| error.to_string())?;
        ObjectState::new(value).with_format(names).json_serialize()
    } else {
        ObjectState::new(Arc::new(data.as_bytes().to_vec())).with_format(names)
    };
    if !version.is_empty() {
        state = state.with_version(version);
    }
    Ok(state)
}

impl Leaf {
    fn observing<C>(&mut self, id: &str, contract: C)
    where
        C: futures::Stream<Item = ObjectStateStream> + Send + 'static,
    {
        let name = id.to_string();
        let work = contract.for_each_concurrent(None, move |stream| observe(name.clone(), stream));
        self.contracts.insert(id.to_string(), tokio::spawn(work));
    }

    fn exposing<C>(&mut self, id: &str, contract: C)
    where
        C: futures::Stream<Item = ObjectStateSink> + Send + 'static,
    {
        let name = id.to_string();
        let sinks = self.sinks.clone();
        let work =
            contract.for_each_concurrent(None, move |sink| expose(name.clone(), sink, sinks.clone()));
        self.contracts.insert(id.to_string(), tokio::spawn(work));
    }

    /// False: no sink is open, so nothing was sent.
    fn send(&mut self, id: &str, words: &[&str]) -> Result<bool, String> {
        let [object, version, format, data] = words else {
            return Err("send takes id, object, version, format, data".to_string());
        };
        let object: Value = serde_json::from_str(object).map_err(|error| error.to_string())?;
        let state = state_of(version, format, data)?;
        if !self.contracts.contains_key(id) {
            return Err("there is no such contract".to_string());
        }
        let open = self.sinks.lock().unwrap();
        let sink = open.get(&(id.to_string(), object.to_string()));
        Ok(sink.is_some_and(|sink| sink.send(state).is_ok()))
    }

    /// False: it could not be done, because what it is for has closed meanwhile.
    async fn obey(&mut self, words: &[&str]) -> Result<bool, String> {
        let id = words.get(1).copied().unwrap_or("");
        let rest = words.get(2..).unwrap_or(&[]);
        let capacity = || -> Result<u32, String> {
            let text = rest.first().ok_or("a capacity is missing")?;
            text.parse().map_err(|_| format!("capacity {text}"))
        };
        match words[0] {
            "connect" => {
                self.connector = None;
                let connector = WebsocketConnector::new(self.exchange.clone(), id);
                self.connector = Some(connector.map_err(|error| format!("{error:?}"))?);
            }
            "disconnect" => self.connector = None,
            "observe" => {
                let contract = self.exchange.object_observe_contract(object_of(rest)?).build();
                self.observing(id, contract);
            }
            "observe-tag" => {
                let contract = self.exchange.tag_observe_contract(tag_of(rest)?).build();
                self.observing(id, contract);
            }
            "expose" => {
                let builder = self.exchange.object_expose_contract(object_of(&rest[1..])?);
                self.exposing(id, builder.with_capacity(capacity()?).build());
            }
            "expose-tag" => {
                let builder = self.exchange.tag_expose_contract(tag_of(&rest[1..])?);
                self.exposing(id, builder.with_capacity(capacity()?).build());
            }
            "send" => return self.send(id, rest),
            "drop" => {
                let contract = self.contracts.remove(id).ok_or("there is no such contract")?;
                contract.abort();
                let _ = contract.await;
                self.sinks.lock().unwrap().retain(|key, _| key.0 != id);
            }
            other => return Err(format!("what is {other}?")),
        }
        Ok(true)
    }
}

async fn leaf() {
    let (sender, mut lines) = mpsc::unbounded_channel();
    // Reading blocks: that is kept away from the runtime's threads.
    std::thread::spawn(move || {
        for line in std::io::stdin().lock().lines().map_while(Result::ok) {
            if sender.send(line).is_err() {
                break;
            }
        }
    });
    let mut leaf = Leaf {
        exchange: Exchange::new(),
        connector: None,
        contracts: HashMap::new(),
        sinks: Sinks::default(),
    };
    while let Some(line) = lines.recv().await {
        let words: Vec<&str> = line.split('\t').collect();
        match leaf.obey(&words).await {
            Ok(true) => tell(json!({ "done": words[0], "id": words.get(1) })),
            Ok(false) => tell(json!({ "closed": words[0], "id": words.get(1) })),
            Err(error) => tell(json!({ "error": error, "of": words[0], "id": words.get(1) })),
        }
    }
    // The end of the input is an orderly end: contracts first, then the connection.
    for (_, contract) in leaf.contracts.drain() {
        contract.abort();
        let _ = contract.await;
    }
    tokio::time::sleep(std::time::Duration::from_millis(100)).await;
}

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .unwrap();
    if arguments.is_empty() {
        runtime.block_on(leaf());
    } else {
        runtime.block_on(bench::run(&arguments));
    }
    runtime.shutdown_timeout(std::time::Duration::from_millis(500));
}
