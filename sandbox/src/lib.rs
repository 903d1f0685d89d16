//! A Kubernetes API server in memory, for the demo and the tests. It is a test and demo tool: it has no
//! authentication, stores nothing on disk and forgets everything when it stops.
//!
//! [`Sandbox::start`] gives a server behind real HTTP on loopback, with clients, faults on demand, a record of all
//! requests, and the logs of pods.

pub mod agent;

mod api;
mod builtin;
mod cleanup;
#[allow(clippy::indexing_slicing, reason = "an index into a JSON value yields null where nothing is")]
pub mod contract;
mod crd;
mod fault;
mod http;
mod ids;
mod jsonpath;
mod kind;
mod metadata;
mod object;
mod ownership;
mod patch;
mod pod_logs;
mod protobuf;
mod registry;
mod request;
mod request_log;
mod schema;
mod selector;
mod status;
mod store;
mod table;

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use ::http::HeaderValue;
use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};
use tokio::sync::mpsc;

pub use fault::{Action, Fault, Faults, Odds, Rule, Stop, WatchBreak, When};
pub use pod_logs::PodLogs;
pub use request::{Match, Request, Verb};
pub use request_log::{Entry, RequestLog};

/// The Kubernetes version that the server claims to be.
pub(crate) const VERSION: &str = "v1.33.0";

/// How a sandbox starts.
#[derive(Debug, Clone)]
pub struct Options {
    /// Install Argo's Workflow definition, as Argo's minimal manifests have it: any spec, status not a subresource.
    pub argo: bool,
    /// CustomResourceDefinitions to install.
    pub crds: Vec<Value>,
    /// Names of ready nodes to create.
    pub nodes: Vec<String>,
    /// Namespaces to create.
    pub namespaces: Vec<String>,
    /// Where to listen; a free port of 127.0.0.1 if not given.
    pub listen: Option<SocketAddr>,
    /// How many changes of each resource are remembered. A watch that falls further behind is expired.
    pub history: usize,
    /// How often an idle watch that allows bookmarks gets one.
    pub bookmarks: Duration,
    /// Decides uids and generated names; different ones every time if not given.
    pub seed: Option<u64>,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            argo: true,
            crds: Vec::new(),
            nodes: Vec::new(),
            namespaces: ["default", "kube-system", "monitoring"].map(String::from).to_vec(),
            listen: None,
            history: 10_000,
            bookmarks: Duration::from_secs(30),
            seed: None,
        }
    }
}

/// Why a sandbox did not start.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The address cannot be listened on.
    #[error("could not listen on {address}")]
    Listen {
        /// What was asked for.
        address: SocketAddr,
        /// Why not.
        source: std::io::Error,
    },
    /// An object that the options ask for was refused.
    #[error("could not create {kind} {name:?} from the options: {why}")]
    Plant {
        /// Kind of the object.
        kind: String,
        /// Its name.
        name: String,
        /// What the API server answered.
        why: String,
    },
    /// A client for the server cannot be made.
    #[error("could not make a client for {url}")]
    Client {
        /// The server.
        url: String,
        /// Why not.
        source: Box<kube::Error>,
    },
}

/// A running API server. Dropping it stops it.
pub struct Sandbox {
    context: Arc<http::Context>,
    running: http::Running,
    client: kube::Client,
}

impl Sandbox {
    /// Starts a server and creates what the options ask for.
    pub async fn start(options: Options) -> Result<Self, Error> {
        let (effects, received) = mpsc::unbounded_channel();
        let context = Arc::new(http::Context {
            api: Arc::new(api::Api {
                store: store::Store::new(options.history, effects),
                registry: registry::Registry::new(),
                logs: PodLogs::default(),
                dice: ids::Dice::new(options.seed),
                clock: api::Clock::default(),
            }),
            faults: Faults::default(),
            requests: RequestLog::default(),
            bookmarks: options.bookmarks,
        });
        plant(&context.api, &options)?;
        let address = options.listen.unwrap_or_else(|| SocketAddr::from((Ipv4Addr::LOCALHOST, 0)));
        let running = http::run(context.clone(), address).await.map_err(|source| Error::Listen { address, source })?;
        running.beside(cleanup::run(context.api.clone(), received));
        let client = connect(&running)?;
        Ok(Self { context, running, client })
    }

    /// `http://127.0.0.1:PORT`
    pub fn url(&self) -> String {
        url(&self.running)
    }

    /// A kubeconfig for this server, as YAML.
    pub fn kubeconfig(&self) -> String {
        let url = self.url();
        format!(
            "apiVersion: v1\nkind: Config\ncurrent-context: aegis-sandbox\nclusters:\n- name: aegis-sandbox\n  cluster:\n    server: {url}\ncontexts:\n- name: aegis-sandbox\n  context:\n    cluster: aegis-sandbox\n    user: aegis-sandbox\n    namespace: default\nusers:\n- name: aegis-sandbox\n  user: {{}}\n"
        )
    }

    /// A client that sends each request once: kube's own retries are off, so that every error is seen.
    pub fn client(&self) -> kube::Client {
        self.client.clone()
    }

    /// A client like [`Sandbox::client`] whose user agent names a component, for counting and for faults.
    ///
    /// Characters that cannot stand in a header are left out of the name.
    pub fn client_as(&self, component: &str) -> kube::Client {
        let named: String = component.chars().filter(char::is_ascii_graphic).collect();
        let agent = HeaderValue::from_str(&named).unwrap_or(HeaderValue::from_static("unknown"));
        let client = self.client.clone();
        let service = tower::service_fn(move |mut request: ::http::Request<kube::client::Body>| {
            let client = client.clone();
            request.headers_mut().insert(::http::header::USER_AGENT, agent.clone());
            async move { client.send(request).await }
        });
        kube::Client::new(service, "default")
    }

    /// What goes wrong on demand.
    pub fn faults(&self) -> &Faults {
        &self.context.faults
    }

    /// What was asked of the server.
    pub fn requests(&self) -> &RequestLog {
        &self.context.requests
    }

    /// The logs of pods.
    pub fn logs(&self) -> &PodLogs {
        &self.context.api.logs
    }

    /// Forgets all history, as etcd does when it is compacted: every resourceVersion from before is expired.
    pub fn compact(&self) {
        self.context.api.store.compact();
    }

    /// Lets time pass at once: what is created or deleted from now on is that much later. Timers do not notice.
    pub fn advance(&self, by: Duration) {
        self.context.api.clock.advance(by);
    }

    /// How far the server's clock is ahead of the machine's.
    pub fn ahead(&self) -> SignedDuration {
        self.context.api.clock.ahead()
    }

    /// Closes all connections and stops.
    pub async fn stop(self) {
        self.running.stop().await;
    }
}

fn url(running: &http::Running) -> String {
    format!("http://{}", running.address)
}

fn connect(running: &http::Running) -> Result<kube::Client, Error> {
    let url = url(running);
    let made = || -> Result<kube::Client, kube::Error> {
        let address = url.parse().map_err(|error: ::http::uri::InvalidUri| kube::Error::HttpError(error.into()))?;
        let mut config = kube::Config::new(address);
        config.default_retry = false;
        // Over plain HTTP nobody's certificate is checked, and reading the machine's takes longer than all the rest.
        config.root_cert = Some(Vec::new());
        kube::Client::try_from(config)
    };
    made().map_err(|source| Error::Client { url, source: Box::new(source) })
}

fn plant(api: &api::Api, options: &Options) -> Result<(), Error> {
    let namespaces = options
        .namespaces
        .iter()
        .map(|name| json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}}));
    let definitions = options.argo.then(crd::argo_workflow).into_iter().chain(options.crds.iter().cloned());
    let now = Timestamp::now();
    let nodes = options.nodes.iter().map(|name| builtin::nodes::ready_node(name, now));
    for object in namespaces.chain(definitions).chain(nodes) {
        let (kind, name) = (object::text(&object, "/kind").to_owned(), object::name(&object).to_owned());
        api.plant(object).map_err(|refused| Error::Plant { kind, name, why: refused.to_string() })?;
    }
    Ok(())
}
