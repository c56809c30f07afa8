//! `reseal report`

use std::time::Duration;

use reseal_pipeline::PipelineError;
use reseal_report::Report;

use super::{Context, load};
use crate::{args::ReportArgs, failure::Failure, output, render};

/// Reading files takes no time worth a limit; standard input may take as long as the scan before it.
const TIME: Duration = Duration::from_secs(24 * 3600);

pub(super) async fn run(args: ReportArgs, context: &mut Context) -> Result<u8, Failure> {
    let work = async {
        let mut reports: Vec<(String, Report)> = Vec::new();
        for named in load(&args.reports).await? {
            let report =
                reseal_report::parse(&named.bytes).map_err(|source| PipelineError::Report {
                    name: named.name.clone(),
                    source,
                })?;
            reports.push((named.name, report));
        }
        Ok(reports)
    };
    let reports = context.signals.bound(TIME, work).await?;
    let text = if context.json() {
        output::document(&render::report::json(&reports))
    } else {
        let texts: Vec<String> = reports
            .iter()
            .map(|(name, report)| render::report::text(name, report))
            .collect();
        texts.join("\n")
    };
    output::stdout(&text)?;
    Ok(0)
}
