//! Who is let in, and how much.

use std::path::{Path, PathBuf};

use aegis_controller::ingest;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::world::{Builder, World, answer, firing, patiently};

#[tokio::test]
async fn routes_and_methods_are_as_documented() {
    let world = World::new().await;
    let url = |path: &str| format!("{}{path}", world.replicas[0].url);
    for (path, want) in [("/nowhere", 404), ("/ai/alert", 404), ("/alert/x", 404), ("/", 404)] {
        let answer = world.post(path, firing("f").to_string()).await;
        assert_eq!(answer.code, want, "{path}");
        assert!(answer.body["message"].as_str().unwrap().contains("/alertmanager/alert"), "{}", answer.body);
    }
    let wrong = answer(world.http.get(url("/alert"))).await;
    assert_eq!((wrong.code, wrong.headers["allow"].to_str().unwrap()), (405, "POST"));
    for page in ["/healthz", "/readyz"] {
        assert_eq!(answer(world.http.get(url(page))).await.code, 200, "{page}");
    }
    world.post("/alert", firing("f").to_string()).await;
    let metrics = answer(world.http.get(url("/metrics"))).await;
    let page = metrics.body.as_str().unwrap();
    for line in [
        "aegis_webhook_answers_total{route=\"/alert\",code=\"200\"} 1",
        "aegis_alerts_total{outcome=\"stored\",reason=\"\"} 1",
        "aegis_alert_stage_seconds_count{stage=\"Stored\"} 1",
        "aegis_webhook_queued_alerts 0",
    ] {
        assert!(page.contains(line), "{line} is not in\n{page}");
    }
    assert!(!page.contains("NodeHasEmergencyEvent"), "an alert's words are no labels");
}

#[tokio::test]
async fn a_prefix_stands_before_the_hooks_and_probes_do_without_it() {
    let world = Builder::default().settings(|settings| settings.http.prefix = "/aegis".into()).start().await;
    assert_eq!(world.post("/aegis/alert", firing("f").to_string()).await.code, 200);
    assert_eq!(world.post("/alert", firing("f").to_string()).await.code, 404);
    for page in ["/healthz", "/aegis/readyz", "/metrics", "/aegis/metrics"] {
        assert_eq!(answer(world.http.get(format!("{}{page}", world.replicas[0].url))).await.code, 200, "{page}");
    }
}

#[tokio::test]
async fn whoever_does_not_show_the_token_is_not_heard() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("token");
    std::fs::write(&file, "s3cret\n").unwrap();
    let world = Builder::default().settings(|settings| settings.http.token_file = Some(file)).start().await;
    let refused = world.post("/alert", firing("f").to_string()).await;
    assert_eq!((refused.code, refused.headers["www-authenticate"].to_str().unwrap()), (401, "Bearer"));
    let url = format!("{}/alert", world.replicas[0].url);
    let wrong = world.http.post(&url).bearer_auth("secret").body(firing("f").to_string());
    assert_eq!(answer(wrong).await.code, 401);
    assert!(world.stored().await.is_empty());
    let right = world.http.post(&url).bearer_auth("s3cret").body(firing("f").to_string());
    assert_eq!(answer(right).await.code, 200);
    world.only().await;
}

#[tokio::test]
async fn a_body_above_the_limit_is_413_whether_or_not_it_says_so_first() {
    let world = Builder::default().settings(|settings| settings.http.body_limit = 1000).start().await;
    assert_eq!(world.post("/alert", "x".repeat(1001)).await.code, 413);
    let chunks = futures::stream::iter((0..11).map(|_| Ok::<_, std::io::Error>("x".repeat(100))));
    assert_eq!(world.post("/alert", reqwest::Body::wrap_stream(chunks)).await.code, 413);
    assert_eq!(world.post("/alert", firing("f").to_string()).await.code, 200);
}

#[tokio::test]
async fn whoever_sends_all_of_a_body_before_it_reads_is_told_that_nobody_wanted_it() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("token");
    std::fs::write(&file, "s3cret").unwrap();
    let guarded = |settings: &mut aegis_controller::Settings| settings.http.token_file = Some(file.clone());
    let world = Builder::default().settings(guarded).start().await;
    // More than the buffers of both ends hold.
    let body = vec![b'x'; 32 << 20];
    for (path, token, want) in [("/alert", "s3cret", 413), ("/alert", "wrong", 401), ("/nowhere", "s3cret", 404)] {
        let mut sender = TcpStream::connect(world.replicas[0].address).await.unwrap();
        let head = format!(
            "POST {path} HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer {token}\r\nContent-Length: {}\r\n\r\n",
            body.len()
        );
        sender.write_all(head.as_bytes()).await.unwrap();
        patiently("all is sent", sender.write_all(&body)).await.unwrap_or_else(|error| panic!("{want}: {error}"));
        let mut text = String::new();
        patiently("the answer is read", sender.read_to_string(&mut text)).await.unwrap();
        assert!(text.starts_with(&format!("HTTP/1.1 {want} ")), "{text}");
    }
}

#[tokio::test]
async fn connections_beyond_the_limit_wait_for_their_turn() {
    let world = Builder::default().settings(|settings| settings.http.max_connections = 1).start().await;
    let idle = TcpStream::connect(world.replicas[0].address).await.unwrap();
    let mut waiting = TcpStream::connect(world.replicas[0].address).await.unwrap();
    waiting.write_all(b"GET /healthz HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n").await.unwrap();
    let mut first = [0u8; 1];
    let early = tokio::time::timeout(std::time::Duration::from_millis(300), waiting.read(&mut first)).await;
    assert!(early.is_err(), "there is one place, and it is taken");
    drop(idle);
    let mut text = String::new();
    patiently("the next connection is served", waiting.read_to_string(&mut text)).await.unwrap();
    assert!(text.starts_with("HTTP/1.1 200"), "{text}");
}

#[tokio::test]
async fn https_is_served_from_files_and_a_renewed_certificate_is_taken_up() {
    let folder = tempfile::tempdir().unwrap();
    let (certificate, key) = (folder.path().join("tls.crt"), folder.path().join("tls.key"));
    install("one", &certificate, &key);
    let files = (certificate.clone(), key.clone());
    let world = Builder::default()
        .settings(|settings| (settings.http.tls_cert_file, settings.http.tls_key_file) = (Some(files.0), Some(files.1)))
        .start()
        .await;
    assert_eq!(world.post("/alert", firing("f").to_string()).await.code, 200);
    let plain = world.replicas[0].url.replace("https", "http");
    assert!(world.http.post(format!("{plain}/alert")).body("{}").send().await.is_err(), "no plain HTTP beside it");

    // A client that trusts only the second certificate is served once that has been taken up.
    let second = reqwest::Certificate::from_pem(&std::fs::read(pem("two.crt")).unwrap()).unwrap();
    let strict = || reqwest::Client::builder().tls_certs_only([second.clone()]).build().unwrap();
    let url = world.replicas[0].url.replace("127.0.0.1", "localhost") + "/healthz";
    assert!(strict().get(&url).send().await.is_err(), "the first certificate is served");
    std::fs::write(&certificate, "half a file").unwrap();
    assert_eq!(answer(world.http.get(&url)).await.code, 200, "a file that cannot be used changes nothing");
    install("two", &certificate, &key);
    patiently("the new certificate is served", async {
        while strict().get(&url).send().await.is_err() {
            tokio::time::sleep(std::time::Duration::from_millis(100)).await;
        }
    })
    .await;
}

#[tokio::test]
async fn a_certificate_without_its_key_is_an_error_at_the_start() {
    let folder = tempfile::tempdir().unwrap();
    let (certificate, key) = (folder.path().join("tls.crt"), folder.path().join("tls.key"));
    install("one", &certificate, &key);
    std::fs::copy(pem("two.key"), &key).unwrap();
    let mut world = Builder::default()
        .settings(|settings| (settings.http.tls_cert_file, settings.http.tls_key_file) = (Some(certificate), Some(key)))
        .start()
        .await;
    let error = world.replicas.remove(0).end().await.unwrap_err();
    assert!(matches!(&error, ingest::Error::Tls { .. }), "{error}");
    assert!(error.to_string().contains("certificate and key do not work together"), "{error}");
}

fn pem(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/webhook/tls").join(name)
}

fn install(name: &str, certificate: &Path, key: &Path) {
    std::fs::copy(pem(&format!("{name}.key")), key).unwrap();
    std::fs::copy(pem(&format!("{name}.crt")), certificate).unwrap();
}
