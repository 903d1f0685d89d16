//! The webhook: is it reached, is it ready, of which version, and did Alertmanager ever get through.

use serde_json::Value;

use super::ask::Asked;
use super::finding::Finding;
use super::world::World;
use crate::commands::version::{build, minor};
use crate::install::shipped::{OURS, VERSION};

const FAMILY: &str = "webhook";
const SENDER: &str = "alertmanager";
const ROUTE: &str = "/alertmanager/alert";

/// What was read.
pub(super) struct Seen {
    pub(super) namespace: String,
    pub(super) service: String,
    /// What /readyz says.
    pub(super) ready: Asked<String>,
    /// A page of metrics, of one replica.
    pub(super) metrics: Asked<String>,
    /// Whether an alert of Alertmanager's is stored.
    pub(super) stored: Asked<bool>,
    /// Alertmanager's configuration, where somebody said where it is, and the name of that place.
    pub(super) configuration: Option<(String, Asked<String>)>,
}

pub(super) async fn look(world: &World, configuration: Option<&str>) -> Seen {
    let alerts = world.place("aegis.io/v1alpha1", "AegisAlert", "aegisalerts");
    let (ready, metrics, stored, configuration) = futures::join!(
        world.controller("/readyz"),
        world.controller("/metrics"),
        alerts.list(&world.client, "alert-source-type=alertmanager"),
        async {
            match configuration {
                Some(place) => Some((place.to_owned(), read(world, place).await)),
                None => None,
            }
        },
    );
    Seen {
        namespace: world.namespace.clone(),
        service: world.service().to_owned(),
        ready,
        metrics,
        stored: stored.map(|alerts| !alerts.is_empty()),
        configuration,
    }
}

/// The text at KIND/NAMESPACE/NAME/KEY; the API server's base64 is undone.
async fn read(world: &World, place: &str) -> Asked<String> {
    let parts: Vec<&str> = place.split('/').collect();
    let [kind, namespace, name, key] = parts.as_slice() else {
        return Asked::Trouble(format!("{place}: expected secret/NAMESPACE/NAME/KEY or configmap/NAMESPACE/NAME/KEY"));
    };
    let is_secret = *kind == "secret";
    let mut of = match is_secret {
        true => world.place("v1", "Secret", "secrets"),
        false => world.place("v1", "ConfigMap", "configmaps"),
    };
    of.namespace = Some(namespace);
    let found = match of.get(&world.client, name).await {
        Asked::Known(found) => found,
        other => return other.map(|_| String::new()),
    };
    let Some(text) = found.get("data").and_then(|data| data.get(*key)).and_then(Value::as_str) else {
        return Asked::Trouble(format!("{kind}/{name} in {namespace} has no key {key}"));
    };
    if !is_secret {
        return Asked::Known(text.to_owned());
    }
    let decoded = serde_json::from_value::<k8s_openapi::ByteString>(text.into());
    match decoded.map(|bytes| String::from_utf8(bytes.0)) {
        Ok(Ok(text)) => Asked::Known(text),
        _ => Asked::Trouble(format!("the key {key} of {kind}/{name} in {namespace} is no text; is it packed by gzip?")),
    }
}

pub(super) fn judge(seen: &Seen) -> Vec<Finding> {
    vec![reached(seen), version(seen), sender(seen)]
}

fn reached(seen: &Seen) -> Finding {
    const NAME: &str = "ready";
    let Seen { namespace, service, .. } = seen;
    match &seen.ready {
        Asked::Known(_) => Finding::ok(FAMILY, NAME, format!("the webhook takes alerts ({service})")),
        Asked::Denied(right) => Finding::denied(FAMILY, NAME, right),
        Asked::Missing => Finding::failed(FAMILY, NAME, format!("there is no Service {service} in {namespace}"))
            .because("Aegis is not installed there, or its Service is called otherwise: --service")
            .mend(format!("kubectl aegis install -n {namespace}")),
        Asked::Trouble(why) => Finding::failed(FAMILY, NAME, "the webhook takes no alerts now")
            .because(why)
            .mend(format!("kubectl get endpointslices -n {namespace} -l kubernetes.io/service-name=aegis; kubectl logs -n {namespace} -l {OURS} --tail=50")),
    }
}

fn version(seen: &Seen) -> Finding {
    const NAME: &str = "version";
    match seen.metrics.known().and_then(|page| build(page)) {
        Some(found) if minor(found) == minor(VERSION) => {
            Finding::ok(FAMILY, NAME, format!("the controller is {found}"))
        }
        Some(found) => Finding::failed(FAMILY, NAME, format!("the controller is {found}, this plugin {VERSION}"))
            .mend(if minor(found) < minor(VERSION) {
                "kubectl aegis upgrade"
            } else {
                "use a plugin of the controller's version"
            })
            .skew(),
        None => match &seen.metrics {
            Asked::Denied(right) => Finding::denied(FAMILY, NAME, right),
            _ => Finding::unknown(FAMILY, NAME, "the controller's metrics are not to be seen"),
        },
    }
}

/// Whether Alertmanager's receiver leads here. Nobody but Alertmanager knows for sure before an alert fires.
fn sender(seen: &Seen) -> Finding {
    const NAME: &str = "receiver";
    let page = seen.metrics.known().map(String::as_str).unwrap_or_default();
    let arrived = answers(page, ROUTE, |code| code == "200");
    if arrived > 0 {
        return Finding::ok(
            SENDER,
            NAME,
            format!("its reports arrive: one replica has taken {arrived} since it started"),
        );
    }
    let refused = answers(page, ROUTE, |code| code != "200");
    if refused > 0 {
        return Finding::failed(SENDER, NAME, format!("its reports arrive and are refused: {refused} by one replica"))
            .because("a wrong token (401), a body that cannot be read (400), or alerts that cannot be stored now (503)")
            .mend(format!("kubectl logs -n {} -l {OURS} --tail=50; kubectl aegis alert rejected", seen.namespace));
    }
    if seen.stored.known() == Some(&true) {
        return Finding::ok(SENDER, NAME, "alerts that it reported are stored");
    }
    let receiver = format!("kubectl aegis install --receiver -n {}", seen.namespace);
    match &seen.configuration {
        Some((_, Asked::Known(text))) => configured(text, &seen.namespace).unwrap_or_else(|why| {
            Finding::failed(SENDER, NAME, why).mend(format!("{receiver} prints what goes into its configuration"))
        }),
        Some((_, Asked::Denied(right))) => Finding::denied(SENDER, NAME, right),
        Some((place, Asked::Missing)) => Finding::failed(SENDER, NAME, format!("there is no {place}"))
            .mend("say with --alertmanager-config where its configuration is"),
        Some((_, Asked::Trouble(why))) => Finding::unknown(SENDER, NAME, "its configuration cannot be read").because(why),
        None => Finding::unknown(SENDER, NAME, "no report of Alertmanager has arrived yet, and nothing else tells whether one would")
            .because("no alert may have fired since, and its configuration was not looked at: --alertmanager-config says where it is")
            .mend(receiver),
    }
}

/// Whether that configuration has a receiver for this webhook, and a route to it.
fn configured(text: &str, namespace: &str) -> Result<Finding, String> {
    let read: Value =
        serde_saphyr::from_str(text).map_err(|error| format!("its configuration cannot be read: {error}"))?;
    let host = format!("://aegis.{namespace}");
    let leads_here = |receiver: &&Value| {
        let hooks = receiver.get("webhook_configs").and_then(Value::as_array).into_iter().flatten();
        hooks.filter_map(|hook| hook.get("url")?.as_str()).any(|url| url.contains(&host) && url.ends_with(ROUTE))
    };
    let receivers = read.get("receivers").and_then(Value::as_array).into_iter().flatten();
    let name = receivers.filter(leads_here).find_map(|receiver| receiver.get("name")?.as_str());
    let name =
        name.ok_or_else(|| format!("no receiver of its configuration leads to aegis.{namespace} and {ROUTE}"))?;
    if !routed(read.get("route").unwrap_or(&Value::Null), name) {
        return Err(format!("its receiver {name} leads here, and no route leads to it"));
    }
    Ok(Finding::ok(SENDER, "receiver", format!("its receiver {name} leads here; no report has arrived yet")))
}

fn routed(route: &Value, name: &str) -> bool {
    let inner = route.get("routes").and_then(Value::as_array).into_iter().flatten();
    route.get("receiver").is_some_and(|receiver| receiver == name) || inner.into_iter().any(|route| routed(route, name))
}

/// How many bodies of that route were answered so, as a page of metrics counts them.
fn answers(page: &str, route: &str, code: impl Fn(&str) -> bool) -> u64 {
    let of = |line: &str| {
        let labels = line.strip_prefix("aegis_webhook_answers_total{")?;
        let (labels, count) = labels.split_once('}')?;
        let label = |name: &str| {
            labels.split(',').find_map(|one| one.strip_prefix(name)?.strip_prefix("=\"")?.strip_suffix('"'))
        };
        let counts = label("route") == Some(route) && code(label("code")?);
        counts.then(|| count.split_whitespace().next()?.parse::<u64>().ok()).flatten()
    };
    page.lines().filter_map(of).sum()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::check::finding::Status;

    const PAGE: &str = "aegis_build_info{version=\"VERSION\"} 1\n\
        aegis_webhook_answers_total{route=\"/alertmanager/alert\",code=\"200\"} 7\n\
        aegis_webhook_answers_total{code=\"401\",route=\"/alertmanager/alert\"} 2\n\
        aegis_webhook_answers_total{route=\"/default/alert\",code=\"200\"} 5\n";

    fn well() -> Seen {
        Seen {
            namespace: "monitoring".into(),
            service: "aegis:8080".into(),
            ready: Asked::Known(String::new()),
            metrics: Asked::Known(PAGE.replace("VERSION", VERSION)),
            stored: Asked::Known(false),
            configuration: None,
        }
    }

    /// A controller to which Alertmanager never spoke.
    fn unheard() -> Seen {
        let page = well().metrics.known().unwrap().replace("/alertmanager/alert", "/alert");
        Seen { metrics: Asked::Known(page), ..well() }
    }

    #[test]
    fn answers_are_counted_by_route_and_code() {
        assert_eq!((answers(PAGE, ROUTE, |code| code == "200"), answers(PAGE, ROUTE, |code| code != "200")), (7, 2));
        assert!(judge(&well()).iter().all(|finding| finding.status == Status::Ok));
    }

    #[test]
    fn each_way_in_which_nothing_arrives_is_told() {
        let refused = PAGE.replace("VERSION", VERSION).replace("code=\"200\"", "code=\"401\"");
        let config = |text: &str| Some(("secret/m/a/b".to_owned(), Asked::Known(text.to_owned())));
        let receiver =
            "receivers: [{name: a, webhook_configs: [{url: 'http://aegis.monitoring:8080/alertmanager/alert'}]}]\n";
        let routed = format!("{receiver}route: {{receiver: b, routes: [{{receiver: a}}]}}\n");
        let unrouted = format!("{receiver}route: {{receiver: b}}\n");
        let cases = [
            ("no Service", Seen { ready: Asked::Missing, ..well() }, 0, Status::Failed, "no Service aegis:8080"),
            (
                "no pod behind it",
                Seen { ready: Asked::Trouble("no endpoints (503)".into()), ..well() },
                0,
                Status::Failed,
                "no alerts now",
            ),
            (
                "not allowed",
                Seen { ready: Asked::Denied("get on services/proxy".into()), ..well() },
                0,
                Status::Unknown,
                "get on services/proxy",
            ),
            (
                "another version",
                Seen { metrics: Asked::Known("aegis_build_info{version=\"9.9.9\"} 1".into()), ..well() },
                1,
                Status::Failed,
                "9.9.9",
            ),
            ("refused", Seen { metrics: Asked::Known(refused), ..well() }, 2, Status::Failed, "refused: 9"),
            ("nothing is known", unheard(), 2, Status::Unknown, "nothing else tells"),
            ("stored once", Seen { stored: Asked::Known(true), ..unheard() }, 2, Status::Ok, "are stored"),
            (
                "configured",
                Seen { configuration: config(&routed), ..unheard() },
                2,
                Status::Ok,
                "receiver a leads here",
            ),
            (
                "no route",
                Seen { configuration: config(&unrouted), ..unheard() },
                2,
                Status::Failed,
                "no route leads to it",
            ),
            ("no receiver", Seen { configuration: config("route: {}"), ..unheard() }, 2, Status::Failed, "no receiver"),
        ];
        for (why, seen, nth, status, part) in cases {
            let found = &judge(&seen)[nth];
            assert!(found.status == status && found.message.contains(part), "{why}: {found:?}");
        }
    }
}
