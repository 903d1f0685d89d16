//! The Secrets that the controller's pods mount: the webhook's token, its certificate, and who is told of outcomes. An
//! installation names them; what is in them is made by people, and is not read here. (`scrape` looks into the
//! certificate's where Prometheus is to verify it.)

use k8s_openapi::api::core::v1::Secret;
use kube::{Api, Client};
use serde_json::{Value, json};

use crate::failure::{Failure, Kind};

/// Where each is mounted, with the name of its volume and the variables that name its files.
const TOKEN: Place =
    Place { volume: "webhook", path: "/etc/aegis/webhook", variables: &[("AEGIS_HTTP_TOKEN_FILE", "token")] };
const TLS: Place = Place {
    volume: "tls",
    path: "/etc/aegis/tls",
    variables: &[("AEGIS_HTTP_TLS_CERT_FILE", "tls.crt"), ("AEGIS_HTTP_TLS_KEY_FILE", "tls.key")],
};
const NOTIFY: Place =
    Place { volume: "notify", path: "/etc/aegis/notify", variables: &[("AEGIS_NOTIFY_FILE", "notify.yaml")] };

const POD: &str = "/spec/template/spec";
const CONTAINER: &str = "/spec/template/spec/containers/0";

struct Place {
    volume: &'static str,
    path: &'static str,
    variables: &'static [(&'static str, &'static str)],
}

/// The names of those Secrets; an empty name is none.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Secrets {
    /// With the key `token`, which senders must show.
    pub(crate) token: Option<String>,
    /// Of type kubernetes.io/tls, to serve HTTPS with.
    pub(crate) tls: Option<String>,
    /// With the key `notify.yaml`; what manifest/deploy names by default.
    pub(crate) notify: Option<String>,
}

impl Secrets {
    /// Those that a Deployment mounts, where an installation mounts them.
    pub(crate) fn of(deployment: &Value) -> Self {
        let found = |place: &Place| {
            let named = |list: &'static str, key: &'static str, value: &'static str| {
                let list = deployment.pointer(list).and_then(Value::as_array).into_iter().flatten();
                list.filter(move |one| one.get(key).is_some_and(|is| is == value))
            };
            named("/spec/template/spec/containers/0/volumeMounts", "mountPath", place.path).next()?;
            let volume = named("/spec/template/spec/volumes", "name", place.volume).next()?;
            volume.pointer("/secret/secretName").and_then(Value::as_str).map(str::to_owned)
        };
        Self { token: found(&TOKEN), tls: found(&TLS), notify: found(&NOTIFY) }
    }

    /// These, and where nothing is said those.
    pub(crate) fn or(self, others: Self) -> Self {
        Self { token: self.token.or(others.token), tls: self.tls.or(others.tls), notify: self.notify.or(others.notify) }
    }

    /// Whether senders must show a token.
    pub(crate) fn guards(&self) -> bool {
        is_named(self.token.as_ref())
    }

    /// Whether HTTPS is served.
    pub(crate) fn encrypts(&self) -> bool {
        is_named(self.tls.as_ref())
    }

    /// Has the Deployment mount them.
    pub(crate) fn mount(&self, deployment: &mut Value) {
        for (place, name) in [(&TOKEN, &self.token), (&TLS, &self.tls), (&NOTIFY, &self.notify)] {
            let Some(name) = name else { continue };
            place.leave(deployment);
            if !name.is_empty() {
                place.take(deployment, name);
            }
        }
        if self.encrypts() {
            for probe in ["readinessProbe", "livenessProbe"] {
                if let Some(get) = deployment.pointer_mut(&format!("{CONTAINER}/{probe}/httpGet")) {
                    set(get, "scheme", json!("HTTPS"));
                }
            }
        }
    }

    /// Refuses those that are not there: the pods would wait for them for ever. One for notifications may come later.
    ///
    /// # Errors
    /// Refused, with the command that makes it.
    pub(crate) async fn must_exist(&self, client: &Client, namespace: &str) -> Result<(), Failure> {
        let api: Api<Secret> = Api::namespaced(client.clone(), namespace);
        let wanted = [
            ("--token-secret", &self.token, "generic NAME --from-literal=token=\"$(openssl rand -hex 32)\""),
            ("--tls-secret", &self.tls, "tls NAME --cert=tls.crt --key=tls.key"),
        ];
        for (flag, name, made) in wanted {
            let Some(name) = name.as_ref().filter(|name| !name.is_empty()) else { continue };
            match api.get_metadata_opt(name).await {
                Ok(Some(_)) => {}
                Ok(None) => {
                    let made = made.replace("NAME", name);
                    let what =
                        format!("{flag}: there is no Secret {name} in {namespace}, and no pod starts without it");
                    let hint = format!("make it first: kubectl create secret {made} -n {namespace}");
                    return Err(Failure::new(Kind::Refused, what).hint(hint));
                }
                // Who may not see Secrets is believed.
                Err(kube::Error::Api(status)) if status.is_forbidden() => {}
                Err(error) => return Err(Failure::of_call(format!("could not look for secret/{name}"), error)),
            }
        }
        Ok(())
    }
}

impl Place {
    fn leave(&self, deployment: &mut Value) {
        let mut without = |list: String, key: &str, values: &[&str]| {
            if let Some(list) = deployment.pointer_mut(&list).and_then(Value::as_array_mut) {
                list.retain(|one| !one.get(key).and_then(Value::as_str).is_some_and(|is| values.contains(&is)));
            }
        };
        let variables: Vec<&str> = self.variables.iter().map(|(name, _)| *name).collect();
        without(format!("{CONTAINER}/env"), "name", &variables);
        without(format!("{CONTAINER}/volumeMounts"), "mountPath", &[self.path]);
        without(format!("{POD}/volumes"), "name", &[self.volume]);
    }

    fn take(&self, deployment: &mut Value, name: &str) {
        let secret = if self.volume == NOTIFY.volume {
            json!({"secretName": name, "optional": true})
        } else {
            json!({"secretName": name})
        };
        for (variable, file) in self.variables {
            let value = format!("{}/{file}", self.path);
            add(deployment, CONTAINER, "env", json!({"name": variable, "value": value}));
        }
        let mount = json!({"name": self.volume, "mountPath": self.path, "readOnly": true});
        add(deployment, CONTAINER, "volumeMounts", mount);
        add(deployment, POD, "volumes", json!({"name": self.volume, "secret": secret}));
    }
}

fn is_named(name: Option<&String>) -> bool {
    name.is_some_and(|name| !name.is_empty())
}

fn add(deployment: &mut Value, place: &str, list: &str, item: Value) {
    let Some(fields) = deployment.pointer_mut(place).and_then(Value::as_object_mut) else { return };
    if let Some(items) = fields.entry(list).or_insert_with(|| json!([])).as_array_mut() {
        items.push(item);
    }
}

fn set(object: &mut Value, field: &str, value: Value) {
    if let Some(fields) = object.as_object_mut() {
        fields.insert(field.to_owned(), value);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn deployment() -> Value {
        let shipped = serde_saphyr::from_multiple::<Value>(include_str!("../../../manifest/deploy/deployment.yaml"));
        shipped.unwrap().remove(0)
    }

    fn named(token: &str, tls: &str, notify: &str) -> Secrets {
        let name = |name: &str| Some(name.to_owned());
        Secrets { token: name(token), tls: name(tls), notify: name(notify) }
    }

    #[test]
    fn what_is_mounted_is_found_again_and_can_be_left_out() {
        let mut there = deployment();
        let shipped = Secrets { notify: Some("aegis-notify".to_owned()), ..Secrets::default() };
        assert_eq!(Secrets::of(&there), shipped);
        let before = there.clone();
        Secrets::default().mount(&mut there);
        assert_eq!(there, before, "where nothing is said nothing changes");

        let all = named("aegis-webhook", "aegis-tls", "people");
        all.mount(&mut there);
        assert_eq!(Secrets::of(&there), all);
        let twice = {
            let mut twice = there.clone();
            all.mount(&mut twice);
            twice
        };
        assert_eq!(twice, there, "what is mounted is not mounted twice");
        let container = there.pointer(CONTAINER).unwrap();
        assert_eq!(container["readinessProbe"]["httpGet"]["scheme"], "HTTPS");
        let env = container["env"].as_array().unwrap();
        let token = env.iter().find(|one| one["name"] == "AEGIS_HTTP_TOKEN_FILE").unwrap();
        assert_eq!(token["value"], "/etc/aegis/webhook/token");

        named("", "", "").mount(&mut there);
        assert_eq!(Secrets::of(&there), Secrets::default());
        assert!(!there.to_string().contains("/etc/aegis/"), "{there}");
    }

    /// The chart's values name the same Secrets, and a test of its own compares it with the plain manifests.
    #[test]
    fn the_chart_mounts_them_in_the_same_places() {
        let chart = include_str!("../../../manifest/chart/templates/deployment.yaml");
        for place in [TOKEN, TLS, NOTIFY] {
            let mount = format!("- {{name: {}, mountPath: {}, readOnly: true}}", place.volume, place.path);
            assert!(chart.contains(&mount), "{mount}");
            for (variable, file) in place.variables {
                let entry = format!("- name: {variable}\n              value: {}/{file}\n", place.path);
                assert!(chart.contains(&entry), "{entry}");
            }
        }
    }
}
