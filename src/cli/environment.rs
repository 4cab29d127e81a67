//! Options from the environment: `MINIWEB_PORT=8080` is `--port 8080`.
//!
//! The command line wins. A switch is on with `1` or `true` and off with `0` or `false`. An option
//! that can be repeated takes one value on each line.

use std::ffi::OsString;

use argh::{FlagInfo, FlagInfoKind, Optionality};

use super::suggestion::most_similar;
use crate::option_values::VARIABLE_PREFIX;
use crate::server::strategies;
use crate::warning::warn;

/// Where the path of the site is, if the command line has none.
const ROOT: &str = "MINIWEB_ROOT";

/// The one option whose variable another program sets.
const PORT: &str = "MINIWEB_PORT";

/// For the help.
pub(super) const DESCRIPTION: &str = "Each option can be set by a variable, and the command line \
    wins: MINIWEB_PORT for --port, MINIWEB_LIST for --list (1 or 0), MINIWEB_ROOT for ROOT. An option \
    that can be repeated takes one value on each line.";

/// The variable of an option.
pub(super) fn variable_of(flag: &FlagInfo<'_>) -> String {
    let name = flag.long.trim_start_matches('-').replace('-', "_").to_uppercase();
    format!("{VARIABLE_PREFIX}{name}")
}

/// The values that the environment has for an option: none, one, or several if the option can be
/// repeated. A switch that is on has the value None.
///
/// # Errors
/// `invalid value 'x' for 'MINIWEB_LIST': expected …`
pub(super) fn values_of(flag: &FlagInfo<'_>) -> Result<Vec<Option<String>>, String> {
    let variable = variable_of(flag);
    let Some(value) = value_of(&variable)? else { return Ok(Vec::new()) };
    Ok(match (&flag.kind, &flag.optionality) {
        (FlagInfoKind::Switch, _) => match &*value {
            "1" | "true" => vec![None],
            "0" | "false" => Vec::new(),
            _ => {
                let expected = "expected one of 1, true, 0, false";
                return Err(format!("invalid value '{value}' for '{variable}': {expected}"));
            }
        },
        (FlagInfoKind::Option { .. }, Optionality::Repeating) => {
            let lines = value.lines().filter(|line| !line.trim().is_empty());
            lines.map(|line| Some(line.to_owned())).collect()
        }
        (FlagInfoKind::Option { .. }, _) => vec![Some(value)],
    })
}

/// Warns of variables that seem to be mistyped: the option that was meant may protect something.
/// Others are not ours to judge, since Kubernetes sets some for a Service called miniweb.
pub(super) fn warn_of_unknown(flags: &[&FlagInfo<'_>]) {
    let short = |variable: &str| variable.trim_start_matches(VARIABLE_PREFIX).to_lowercase();
    let known: Vec<String> = flags.iter().map(|flag| short(&variable_of(flag))).collect();
    let of_strategies = strategies::ALL.iter().flat_map(|strategy| (strategy.options)().flags);
    let of_strategies: Vec<String> = of_strategies.map(|flag| short(&variable_of(flag))).collect();
    for (variable, _) in std::env::vars_os() {
        let Some(variable) = variable.to_str().filter(|name| name.starts_with(VARIABLE_PREFIX))
        else {
            continue;
        };
        let name = short(variable);
        let is_known = known.iter().chain(&of_strategies).any(|known| *known == name);
        let is_of_kubernetes = ["service_", "port_"].iter().any(|prefix| name.starts_with(prefix));
        if is_known || is_of_kubernetes || variable == ROOT {
            continue;
        }
        if let Some(best) = most_similar(&name, known.iter().map(String::as_str)) {
            let meant = format!("{VARIABLE_PREFIX}{}", best.to_uppercase());
            warn(format!("{variable} sets no option: did you mean '{meant}'?"));
        }
    }
}

/// The path of the site.
pub(super) fn root() -> Option<OsString> {
    std::env::var_os(ROOT).filter(|root| !root.is_empty())
}

/// An empty variable counts as none: in many tools that is the only way to unset one.
fn value_of(variable: &str) -> Result<Option<String>, String> {
    let Some(value) = std::env::var_os(variable).filter(|value| !value.is_empty()) else {
        return Ok(None);
    };
    let value = value.into_string().map_err(|value| {
        format!("invalid value '{}' for '{variable}': expected UTF-8", value.to_string_lossy())
    })?;
    // A template that had nothing to insert must not turn off an option that hides or protects
    // something.
    if value.trim().is_empty() {
        let expected = "expected a value, or an empty string for none";
        return Err(format!("invalid value '{value}' for '{variable}': {expected}"));
    }
    // Kubernetes sets this variable in containers if there is a Service called miniweb. The others
    // that it sets (MINIWEB_SERVICE_HOST, MINIWEB_PORT_80_TCP, …) name no option.
    let is_address = || ["tcp://", "udp://", "sctp://"].iter().any(|it| value.starts_with(it));
    if variable == PORT && is_address() {
        warn(format!(
            "{variable} is ignored: '{value}' was set by Kubernetes for a Service of this name"
        ));
        return Ok(None);
    }
    Ok(Some(value))
}
