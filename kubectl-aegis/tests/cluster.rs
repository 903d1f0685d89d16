//! The plugin against a cluster that is not as it would like it to be, and through an API server's proxy.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "a test fails by panicking"
)]

#[path = "common/plugin.rs"]
mod plugin;

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener};

use aegis_sandbox::{Action, Match, Rule};
use plugin::{aegis, in_the_sandbox, sandbox};
use serde_json::{Value, json};

#[tokio::test(flavor = "multi_thread")]
async fn a_script_can_tell_what_is_forbidden_from_what_is_not_there() {
    let sandbox = sandbox().await;
    let send: &[&str] = &["alert", "send", "NodeDown", "--node", "n1"];
    let plan: &[&str] = &["plan", "NodeDown", "--node", "n1"];
    let (code, told) = in_the_sandbox(&sandbox, send).await;
    assert_eq!(code, 5, "{told}");
    assert!(told.contains("there is no Service aegis:8080 in monitoring") && told.contains("hint: "), "{told}");

    let cases = [
        (403, plan, 4, "could not list the rules in namespace monitoring"),
        (403, send, 4, "could not pass the alert on"),
        (401, plan, 3, "could not list the rules in namespace monitoring"),
        (404, plan, 5, "is Aegis installed"),
        (500, plan, 3, "could not list the rules in namespace monitoring"),
    ];
    for (status, words, want, part) in cases {
        let refused = sandbox.faults().add(Rule::new(Match::any(), Action::Status(status, None)));
        let (code, told) = in_the_sandbox(&sandbox, words).await;
        refused.remove();
        assert_eq!(code, want, "{status} for {words:?}: {told}");
        assert!(told.contains(part), "{status} for {words:?}: no {part:?} in {told}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_plan_is_made_with_the_settings_that_are_given() {
    let sandbox = sandbox().await;
    let client = sandbox.client();
    let rule = json!({
        "apiVersion": "aegis.io/v1alpha1", "kind": "AegisAlertOpsRule", "metadata": {"name": "down"},
        "spec": {
            "alertConditions": [{"type": "NodeDown", "status": "Firing"}],
            "opsTemplate": {"kind": "AegisOpsTemplate", "apiVersion": "aegis.io/v1alpha1", "name": "down"},
        },
    });
    let manifest = "apiVersion: batch/v1\nkind: Job\nspec:\n  template:\n    spec:\n      restartPolicy: Never\n      \
                    containers: [{name: main, image: busybox, command: [echo, '{{.cluster}}']}]\n";
    let template = json!({
        "apiVersion": "aegis.io/v1alpha1", "kind": "AegisOpsTemplate", "metadata": {"name": "down"},
        "spec": {"manifest": manifest},
    });
    for (plural, object) in [("aegisalertopsrules", rule), ("aegisopstemplates", template)] {
        let path = format!("/apis/aegis.io/v1alpha1/namespaces/team-a/{plural}");
        let request = http::Request::post(path).header("Content-Type", "application/json");
        client.request::<Value>(request.body(object.to_string().into_bytes()).unwrap()).await.unwrap();
    }
    let cases: [(&'static [&'static str], i32, &str); 5] = [
        (&["plan", "NodeDown", "--node", "n1"], 1, "NoRule"),
        (&["plan", "NodeDown", "--node", "n1", "--rule-namespaces", "team-a"], 1, "cluster"),
        (&["plan", "NodeDown", "--node", "n1", "--rule-namespaces", "team-a", "--parameter", "cluster=c7"], 0, "c7"),
        (&["plan", "NodeDown", "--node", "n1", "--rule-namespaces", "*", "--parameter", "cluster=c8"], 0, "c8"),
        (&["plan", "NodeDown", "--node", "n1", "--parameter", "cluster"], 2, "expected NAME=VALUE"),
    ];
    for (words, want, part) in cases {
        let (code, told) = in_the_sandbox(&sandbox, words).await;
        assert_eq!(code, want, "{words:?}: {told}");
        assert!(told.contains(part), "{words:?}: no {part:?} in {told}");
    }

    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("controller.yaml");
    let kubeconfig = sandbox.kubeconfig();
    let planned = async |text: &str| {
        std::fs::write(&file, text).unwrap();
        let (kubeconfig, file) = (kubeconfig.clone(), file.display().to_string());
        let run = move || aegis(&kubeconfig, &["plan", "NodeDown", "--node", "n1", "--config", &file]);
        tokio::task::spawn_blocking(run).await.unwrap()
    };
    let settings =
        "rule-namespaces: [team-a]\nalert: {system-parameters: {cluster: c9}, publish-namespace: elsewhere}\n";
    let (code, told) = planned(settings).await;
    assert!(code == 0 && told.contains("c9"), "{told}");
    let (code, told) = planned(&format!("{settings}dry-run: true\n")).await;
    assert!(code == 1 && told.contains("DryRun"), "{told}");
    let (code, told) = planned("rule-namespace: [team-a]\n").await;
    assert!(code == 2 && told.contains("unknown key rule-namespace"), "{told}");
}

/// An API server that answers one request, whatever it asks for: its address, and a thread that returns the request. Asked
/// for a way to another server it is that server too, and returns both requests.
fn answers_once(code: u16, body: Value) -> (SocketAddr, std::thread::JoinHandle<String>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let answer = std::thread::spawn(move || {
        let mut stream = BufReader::new(listener.accept().unwrap().0);
        let mut request = String::new();
        let read_head = |stream: &mut BufReader<_>, request: &mut String| {
            let begun = request.len();
            while request.len() == begun || !request.ends_with("\r\n\r\n") {
                assert_ne!(BufRead::read_line(stream, request).unwrap(), 0, "{request}");
            }
        };
        read_head(&mut stream, &mut request);
        if request.starts_with("CONNECT ") {
            write!(stream.get_mut(), "HTTP/1.1 200 OK\r\n\r\n").unwrap();
            read_head(&mut stream, &mut request);
        }
        let length = request.lines().find_map(|line| {
            let (name, value) = line.split_once(':')?;
            name.eq_ignore_ascii_case("content-length").then(|| value.trim().parse().unwrap())
        });
        let mut sent = vec![0; length.unwrap_or(0)];
        stream.read_exact(&mut sent).unwrap();
        request.push_str(std::str::from_utf8(&sent).unwrap());
        let body = body.to_string();
        let head = format!("HTTP/1.1 {code} x\r\nContent-Type: application/json\r\nContent-Length: {}\r\n", body.len());
        write!(stream.get_mut(), "{head}Connection: close\r\n\r\n{body}").unwrap();
        request
    });
    (address, answer)
}

fn kubeconfig(server: SocketAddr) -> String {
    let context = json!({"name": "x", "context": {"cluster": "x", "user": "x"}});
    json!({
        "apiVersion": "v1", "kind": "Config", "current-context": "x", "contexts": [context],
        "clusters": [{"name": "x", "cluster": {"server": format!("http://{server}")}}],
        "users": [{"name": "x", "user": {"token": "of-the-person"}}],
    })
    .to_string()
}

#[test]
fn a_token_reaches_the_webhook_through_the_api_servers_proxy() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("token");
    std::fs::write(&file, "s3cret\n").unwrap();
    let file = file.display().to_string();
    let words = ["alert", "send", "NodeDown", "--node", "n1", "--token-file", &file];

    let stored = json!({"code": 200, "message": "", "results": [{"index": 0, "name": "a-1", "result": "stored"}]});
    let (server, request) = answers_once(200, stored);
    let (code, told) = aegis(&kubeconfig(server), &words);
    let request = request.join().unwrap();
    assert_eq!((code, told.as_str()), (0, "aegisalert.aegis.io/a-1 stored\n"));
    let route = "POST /api/v1/namespaces/monitoring/services/aegis:8080/proxy/default/alert HTTP/1.1";
    assert!(request.starts_with(route), "{request}");
    let headers = request.to_ascii_lowercase();
    assert!(headers.contains("\r\nx-aegis-token: s3cret\r\n"), "{request}");
    assert!(headers.contains("\r\nauthorization: bearer of-the-person\r\n"), "{request}");
}

#[test]
fn what_the_webhook_says_is_told_from_what_the_api_server_says() {
    let status = |code: u16| json!({"kind": "Status", "apiVersion": "v1", "status": "Failure", "code": code});
    let webhook = |message: &str| json!({"code": 0, "message": message, "results": []});
    let cases = [
        (401, webhook("show the token"), 3, "the webhook asks for a token"),
        (503, webhook("the queue is full"), 3, "the queue is full"),
        (400, webhook("type: found nothing"), 2, "type: found nothing"),
        (401, status(401), 3, "log in again"),
        (403, status(403), 4, "ask for a role"),
        (404, status(404), 5, "there is no Service"),
        (503, status(503), 3, "could not pass the alert on"),
    ];
    for (code, body, want, part) in cases {
        let (server, request) = answers_once(code, body.clone());
        let (code, told) = aegis(&kubeconfig(server), &["alert", "send", "NodeDown", "--node", "n1"]);
        request.join().unwrap();
        assert_eq!(code, want, "{body}: {told}");
        assert!(told.contains(part), "{body}: no {part:?} in {told}");
    }
}

#[test]
fn logins_and_proxies_of_kubectls_kinds_are_used() {
    let folder = tempfile::tempdir().unwrap();
    let program = folder.path().join("log-in");
    let credential = json!({
        "apiVersion": "client.authentication.k8s.io/v1", "kind": "ExecCredential", "status": {"token": "of-the-program"},
    });
    std::fs::write(&program, credential.to_string()).unwrap();
    let exec = json!({
        "apiVersion": "client.authentication.k8s.io/v1", "interactiveMode": "Never",
        "command": "cat", "args": [program.display().to_string()],
    });
    // It says that it ends in 2100.
    let token = "eyJhbGciOiJub25lIn0.eyJleHAiOjQxMDI0NDQ4MDB9.x";
    let oidc = json!({"name": "oidc", "config": {
        "idp-issuer-url": "https://issuer.invalid", "client-id": "x", "id-token": token, "refresh-token": "y",
    }});
    let cases = [
        ("a program logs in", json!({"exec": exec}), false, "authorization: bearer of-the-program\r\n".to_owned()),
        (
            "an issuer of OpenID's has",
            json!({"auth-provider": oidc}),
            false,
            format!("authorization: bearer {token}\r\n"),
        ),
        ("by way of a proxy", json!({"token": "t"}), true, "connect api.invalid:8001 http/1.1\r\n".to_owned()),
        ("with one's own login", json!({"token": "t"}), true, "authorization: bearer t\r\n".to_owned()),
    ];
    for (why, user, by_proxy, part) in cases {
        let stored = json!({"code": 200, "message": "", "results": [{"index": 0, "name": "a-1", "result": "stored"}]});
        let (server, request) = answers_once(200, stored);
        let mut config: Value = serde_json::from_str(&kubeconfig(server)).unwrap();
        config["users"][0]["user"] = user;
        if by_proxy {
            let cluster = json!({"server": "http://api.invalid:8001", "proxy-url": format!("http://{server}")});
            config["clusters"][0]["cluster"] = cluster;
        }
        let (code, told) = aegis(&config.to_string(), &["alert", "send", "NodeDown", "--node", "n1"]);
        assert_eq!(code, 0, "{why}: {told}");
        let request = request.join().unwrap().to_ascii_lowercase();
        assert!(request.contains(&part.to_ascii_lowercase()), "{why}: no {part:?} in {request}");
    }
}
