//! The settings of the controller that is asked about, as far as a plan depends on them.

use aegis_controller::Settings;
use aegis_controller::settings::Error;
use clap::Args;

use crate::failure::{Failure, Kind};

/// What the controller was told. The plugin cannot see the flags and variables of the controller in the cluster, so
/// they are given again; what is not given is taken to have its default.
#[derive(Args, Debug)]
#[command(next_help_heading = "The controller's settings, where it does not run with its defaults")]
pub(in crate::commands) struct Given {
    /// The controller's config file; where alerts are stored is said by -n all the same
    #[arg(long, value_name = "FILE")]
    config: Option<String>,
    /// The namespaces whose rules and templates count beside that of -n; '*' means all
    #[arg(long, value_name = "NAMESPACE,...", value_delimiter = ',')]
    rule_namespaces: Vec<String>,
    /// A system parameter, which every template gets; repeat it for more. It comes before the file's
    #[arg(long = "parameter", value_name = "NAME=VALUE")]
    parameters: Vec<String>,
}

impl Given {
    /// Whether rules and templates of more than one namespace count.
    pub(in crate::commands) fn everywhere(&self) -> bool {
        !self.rule_namespaces.is_empty() || self.config.is_some()
    }

    /// The settings of a controller that publishes alerts in that namespace.
    pub(in crate::commands) fn settings(&self, namespace: &str) -> Result<Settings, Failure> {
        let mut words = vec!["aegis-controller".to_owned(), format!("--alert.publish-namespace={namespace}")];
        words.extend(self.config.iter().map(|file| format!("--config={file}")));
        if !self.rule_namespaces.is_empty() {
            words.push(format!("--rule-namespaces={}", self.rule_namespaces.join(",")));
        }
        let mut settings = Settings::from_arguments_alone(words).map_err(|error| wrong(&error))?;
        let mut parameters: Vec<(String, String)> = Vec::new();
        for pair in &self.parameters {
            let Some((name, value)) = pair.split_once('=').filter(|(name, _)| !name.is_empty()) else {
                return Err(Failure::new(Kind::Usage, format!("--parameter: found {pair:?}, expected NAME=VALUE")));
            };
            parameters.push((name.to_owned(), value.to_owned()));
        }
        let written = settings.alert.system_parameters.iter().map(|(name, value)| (name.clone(), value.clone()));
        settings.alert.system_parameters = written.chain(parameters).collect();
        Ok(settings)
    }
}

/// One line that names the setting, what was found, and what is expected.
fn wrong(error: &Error) -> Failure {
    let text = error.to_string();
    let line = text.lines().next().unwrap_or_default().trim_start_matches("error: ").to_owned();
    Failure::new(Kind::Usage, line)
}
