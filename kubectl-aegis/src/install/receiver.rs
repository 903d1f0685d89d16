//! What Alertmanager is told, so that its alerts come here.

use serde_json::Value;

/// How the webhook is reached.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Webhook {
    /// It serves HTTPS.
    pub(crate) tls: bool,
    /// It asks for a token.
    pub(crate) token: bool,
    /// What stands before its paths; empty or beginning with '/'.
    pub(crate) prefix: String,
}

impl Webhook {
    /// As the settings of that Deployment say, as far as they are variables of its container.
    pub(crate) fn of(deployment: &Value) -> Self {
        let variables = deployment.pointer("/spec/template/spec/containers/0/env").and_then(Value::as_array);
        let value = |name: &str| {
            let mut named = variables.into_iter().flatten().filter(|one| one.get("name").is_some_and(|is| is == name));
            named.find_map(|one| one.get("value").and_then(Value::as_str)).filter(|value| !value.is_empty())
        };
        let prefix = value("AEGIS_HTTP_PREFIX").unwrap_or_default().trim_matches('/');
        Self {
            tls: value("AEGIS_HTTP_TLS_CERT_FILE").is_some(),
            token: value("AEGIS_HTTP_TOKEN_FILE").is_some(),
            prefix: if prefix.is_empty() { String::new() } else { format!("/{prefix}") },
        }
    }

    /// The receiver and its route, as they go into Alertmanager's configuration.
    pub(crate) fn receiver(&self, namespace: &str) -> String {
        let scheme = if self.tls { "https" } else { "http" };
        let mut text = format!(
            "receivers:\n  - name: Aegis\n    webhook_configs:\n      - url: {scheme}://aegis.{namespace}:8080{}/alertmanager/alert\n        \
             timeout: 10s\n",
            self.prefix
        );
        if self.tls || self.token {
            text.push_str("        http_config:\n");
        }
        if self.token {
            text.push_str(
                "          authorization: {credentials_file: /etc/alertmanager/secrets/aegis-webhook/token}\n",
            );
        }
        if self.tls {
            text.push_str("          tls_config: {ca_file: /etc/alertmanager/secrets/aegis-ca/ca.crt}\n");
        }
        text.push_str(
            "route:\n  receiver: Aegis\n  group_by: [alertname]\n  group_wait: 0s\n  group_interval: 5m\n  repeat_interval: 12h\n",
        );
        text
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn the_receiver_fits_the_webhook_that_is_deployed() {
        let plain = Webhook::default().receiver("ops");
        assert!(plain.contains("      - url: http://aegis.ops:8080/alertmanager/alert\n"), "{plain}");
        assert!(!plain.contains("http_config"), "{plain}");
        let env = json!([
            {"name": "AEGIS_HTTP_TOKEN_FILE", "value": "/t"}, {"name": "AEGIS_HTTP_TLS_CERT_FILE", "value": "/c"},
            {"name": "AEGIS_HTTP_PREFIX", "value": "/aegis/"}, {"name": "OTHER", "valueFrom": {}},
        ]);
        let deployment = json!({"spec": {"template": {"spec": {"containers": [{"env": env}]}}}});
        let guarded = Webhook::of(&deployment).receiver("ops");
        for part in ["https://aegis.ops:8080/aegis/alertmanager/alert", "credentials_file", "ca_file"] {
            assert!(guarded.contains(part), "no {part} in {guarded}");
        }
        let read: Value = serde_saphyr::from_str(&guarded).unwrap();
        assert_eq!(read["receivers"][0]["name"], read["route"]["receiver"]);
    }
}
