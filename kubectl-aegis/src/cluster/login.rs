//! A kubeconfig with what the flags say instead. It is changed before it is read for a client, so that a login plugin
//! is told of the server that is meant, too.

use kube::config::{
    AuthInfo, Cluster, Context, KubeConfigOptions, Kubeconfig, KubeconfigError, NamedAuthInfo, NamedCluster,
    NamedContext,
};
use serde_json::json;

use super::LoginArgs;

/// The name of what the flags alone describe.
const FLAGS: &str = "flags";

/// The kubeconfig of that file, or the usual one.
pub(super) fn kubeconfig(file: Option<&str>) -> Result<Kubeconfig, KubeconfigError> {
    match file {
        Some(file) => Kubeconfig::read_from(file),
        None => Kubeconfig::read(),
    }
}

/// The kubeconfig in which the cluster and the user that are meant are as the flags say.
pub(super) fn with_flags(
    mut kubeconfig: Kubeconfig,
    options: &KubeConfigOptions,
    flags: &LoginArgs,
) -> Result<Kubeconfig, serde_json::Error> {
    if !is_given(flags) {
        return Ok(kubeconfig);
    }
    if options.context.is_none() && kubeconfig.current_context.is_none() && flags.server.is_some() {
        kubeconfig.current_context = Some(FLAGS.to_owned());
        let context = Context { cluster: FLAGS.to_owned(), user: Some(FLAGS.to_owned()), ..Context::default() };
        kubeconfig.contexts.push(NamedContext {
            name: FLAGS.to_owned(),
            context: Some(context),
            ..NamedContext::default()
        });
    }
    let context = options.context.as_ref().or(kubeconfig.current_context.as_ref());
    let Some(context) = context.and_then(|name| kubeconfig.contexts.iter_mut().find(|one| one.name == *name)) else {
        // What is missing is told by whoever reads it.
        return Ok(kubeconfig);
    };
    let context = context.context.get_or_insert_default();
    let cluster = options.cluster.clone().unwrap_or_else(|| context.cluster.clone());
    let user = options.user.clone().unwrap_or_else(|| context.user.get_or_insert_with(|| FLAGS.to_owned()).clone());

    let known = kubeconfig.clusters.iter().position(|one| one.name == cluster);
    if known.is_none() && flags.server.is_some() {
        kubeconfig.clusters.push(NamedCluster { name: cluster.clone(), ..NamedCluster::default() });
    }
    if let Some(found) = kubeconfig.clusters.iter_mut().find(|one| one.name == cluster) {
        reach(found.cluster.get_or_insert_default(), flags);
    }
    if kubeconfig.auth_infos.iter().all(|one| one.name != user) {
        kubeconfig.auth_infos.push(NamedAuthInfo { name: user.clone(), ..NamedAuthInfo::default() });
    }
    if let Some(found) = kubeconfig.auth_infos.iter_mut().find(|one| one.name == user) {
        let login = found.auth_info.get_or_insert_default();
        show(login, flags)?;
        impersonate(login, flags);
    }
    Ok(kubeconfig)
}

fn is_given(flags: &LoginArgs) -> bool {
    let LoginArgs {
        as_user,
        as_group,
        as_uid,
        token,
        server,
        request_timeout: _,
        insecure_skip_tls_verify,
        tls_server_name,
        certificate_authority,
        client_certificate,
        client_key,
    } = flags;
    let texts =
        [as_user, as_uid, token, server, tls_server_name, certificate_authority, client_certificate, client_key];
    texts.iter().any(|text| text.is_some()) || !as_group.is_empty() || insecure_skip_tls_verify.is_some()
}

/// How the server is reached.
fn reach(cluster: &mut Cluster, flags: &LoginArgs) {
    if let Some(server) = &flags.server {
        let has_scheme = server.contains("://");
        cluster.server = Some(if has_scheme { server.clone() } else { format!("https://{server}") });
    }
    if let Some(name) = &flags.tls_server_name {
        cluster.tls_server_name = Some(name.clone());
    }
    if let Some(file) = &flags.certificate_authority {
        cluster.certificate_authority = Some(file.clone());
        cluster.certificate_authority_data = None;
    }
    if let Some(insecure) = flags.insecure_skip_tls_verify {
        cluster.insecure_skip_tls_verify = Some(insecure);
        if insecure && flags.certificate_authority.is_none() {
            cluster.certificate_authority = None;
            cluster.certificate_authority_data = None;
        }
    }
}

/// What is shown to the server.
fn show(login: &mut AuthInfo, flags: &LoginArgs) -> Result<(), serde_json::Error> {
    if let Some(token) = &flags.token {
        // The type that keeps secrets out of logs is made by reading one.
        login.token = serde_json::from_value::<AuthInfo>(json!({"token": token}))?.token;
        login.token_file = None;
        login.exec = None;
        login.auth_provider = None;
        login.username = None;
        login.password = None;
    }
    if let Some(file) = &flags.client_certificate {
        login.client_certificate = Some(file.clone());
        login.client_certificate_data = None;
    }
    if let Some(file) = &flags.client_key {
        login.client_key = Some(file.clone());
        login.client_key_data = None;
    }
    Ok(())
}

/// As whom the server is asked.
pub(super) fn impersonate(login: &mut AuthInfo, flags: &LoginArgs) {
    if let Some(user) = &flags.as_user {
        login.impersonate = Some(user.clone());
    }
    if let Some(uid) = &flags.as_uid {
        login.impersonate_uid = Some(uid.clone());
    }
    if !flags.as_group.is_empty() {
        login.impersonate_groups = Some(flags.as_group.clone());
    }
}

#[cfg(test)]
mod tests {
    use kube::Config;
    use serde_json::Value;

    use super::*;

    fn written() -> Kubeconfig {
        serde_json::from_value(json!({
            "current-context": "a",
            "contexts": [
                {"name": "a", "context": {"cluster": "one", "user": "ann"}},
                {"name": "b", "context": {"cluster": "two"}},
            ],
            "clusters": [
                {"name": "one", "cluster": {"server": "https://one:6443", "certificate-authority-data": "x"}},
                {"name": "two", "cluster": {"server": "https://two:6443"}},
            ],
            "users": [{"name": "ann", "user": {"exec": {"command": "log-in"}}}],
        }))
        .unwrap()
    }

    fn flags() -> LoginArgs {
        LoginArgs::default()
    }

    fn login(options: KubeConfigOptions, flags: &LoginArgs) -> (Value, Value) {
        let kubeconfig = with_flags(written(), &options, flags).unwrap();
        let context = options.context.or(kubeconfig.current_context).unwrap();
        let context = kubeconfig.contexts.into_iter().find(|one| one.name == context).unwrap().context.unwrap();
        let (cluster, user) = (options.cluster.unwrap_or(context.cluster), options.user.or(context.user).unwrap());
        let cluster = kubeconfig.clusters.into_iter().find(|one| one.name == cluster).unwrap().cluster;
        let user = kubeconfig.auth_infos.into_iter().find(|one| one.name == user).unwrap().auth_info;
        (serde_json::to_value(cluster).unwrap(), serde_json::to_value(user).unwrap())
    }

    #[test]
    fn a_flag_changes_what_is_meant_and_nothing_else() {
        let usual = KubeConfigOptions::default;
        let (cluster, user) = login(usual(), &LoginArgs { server: Some("https://near:1".into()), ..flags() });
        assert_eq!((&cluster["server"], &user["exec"]["command"]), (&json!("https://near:1"), &json!("log-in")));

        let (cluster, user) = login(usual(), &LoginArgs { token: Some("t".into()), ..flags() });
        assert_eq!(user, json!({"token": "t"}), "a token is shown instead of a login");
        assert_eq!(cluster["server"], "https://one:6443");

        let as_ben = LoginArgs {
            as_user: Some("ben".into()),
            as_group: vec!["ops".into(), "gpu".into()],
            as_uid: Some("7".into()),
            ..flags()
        };
        let (_, user) = login(usual(), &as_ben);
        assert_eq!(
            (&user["as"], &user["as-groups"], &user["as-uid"]),
            (&json!("ben"), &json!(["ops", "gpu"]), &json!("7"))
        );
        assert_eq!(user["exec"]["command"], "log-in", "whoever acts as another still logs in");

        let insecure = LoginArgs { insecure_skip_tls_verify: Some(true), ..flags() };
        let (cluster, _) = login(usual(), &insecure);
        assert_eq!(cluster, json!({"server": "https://one:6443", "insecure-skip-tls-verify": true}));

        let tls = LoginArgs {
            certificate_authority: Some("/ca.pem".into()),
            tls_server_name: Some("api".into()),
            client_certificate: Some("/c.pem".into()),
            client_key: Some("/k.pem".into()),
            ..flags()
        };
        let (cluster, user) = login(usual(), &tls);
        assert_eq!(
            cluster,
            json!({"server": "https://one:6443", "certificate-authority": "/ca.pem", "tls-server-name": "api"})
        );
        assert_eq!((&user["client-certificate"], &user["client-key"]), (&json!("/c.pem"), &json!("/k.pem")));
    }

    #[test]
    fn the_context_and_the_names_that_are_given_are_meant() {
        let token = LoginArgs { token: Some("t".into()), ..flags() };
        let other = KubeConfigOptions { context: Some("b".into()), ..KubeConfigOptions::default() };
        let (cluster, user) = login(other, &token);
        assert_eq!((&cluster["server"], user), (&json!("https://two:6443"), json!({"token": "t"})));
        let mixed = KubeConfigOptions { cluster: Some("two".into()), ..KubeConfigOptions::default() };
        let (cluster, _) = login(mixed, &LoginArgs { server: Some("near".into()), ..flags() });
        assert_eq!(cluster["server"], "https://near", "as kubectl takes an address without a scheme");
    }

    #[tokio::test]
    async fn a_server_is_enough() {
        let only = LoginArgs { server: Some("http://127.0.0.1:1".into()), token: Some("t".into()), ..flags() };
        let options = KubeConfigOptions::default();
        let kubeconfig = with_flags(Kubeconfig::default(), &options, &only).unwrap();
        let config = Config::from_custom_kubeconfig(kubeconfig, &options).await.unwrap();
        assert_eq!(config.cluster_url.to_string(), "http://127.0.0.1:1/");
        assert!(config.auth_info.token.is_some());
    }
}
