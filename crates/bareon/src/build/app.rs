//! What the commands of the builder do: the way from settings to what is to be built, and from that to a build.

use bareon_host::System;
use serde_json::{Value, json};

use super::{
    plan::{self, Options, Plan},
    run,
};
use crate::{
    cli::{Build, Context, Failure, Invocation},
    digest,
    drivers::build_image::{self, BuildDriver},
};

/// Does what `invocation` says.
///
/// # Errors
/// When it cannot be done, with all that is known of why.
pub fn run(invocation: &Invocation<Build>, context: &Context) -> Result<(), Failure> {
    let host = System::observed(context.report.observer());
    let call = Call { invocation, context, host };
    match invocation.command {
        Build::Run { force } => call.build(force),
        Build::Plan { force } => call.show_plan(force),
        Build::Schema => call.show_schema(),
        Build::Drivers => call.show_drivers(),
    }
}

struct Call<'a> {
    invocation: &'a Invocation<Build>,
    context: &'a Context,
    host: System,
}

impl Call<'_> {
    fn build(&self, force: bool) -> Result<(), Failure> {
        tracing::info!("--- Building image (do_build_image) ---");
        let (plan, mut document) = self.plan(force)?;
        if plan.is_done() {
            tracing::info!("All necessary images are available.");
        } else if plan.refusals.is_empty() {
            // Whoever knows the rest of it could try passwords out against its sum.
            plan::hide(&mut document);
            let sum = digest::sha256(document.to_string());
            run::run(&plan, &self.options(force), &self.host, self.context, &sum)?;
        } else {
            return Err(Failure::new("the plan is refused, nothing was built").with_mistakes(plan.refusals));
        }
        tracing::info!("--- Building image END (do_build_image) ---");
        Ok(())
    }

    fn show_plan(&self, force: bool) -> Result<(), Failure> {
        let (plan, _) = self.plan(force)?;
        self.answer(&plan.to_json(), || plan.to_string())
    }

    /// The plan, and the document that it comes of.
    fn plan(&self, force: bool) -> Result<(Plan, Value), Failure> {
        let driver = self.driver()?;
        let document = self.invocation.settings.document()?;
        let blueprint = driver.read(&document).map_err(|mistakes| Failure::of_input(mistakes.0))?;
        Ok((plan::plan(blueprint, &self.options(force), &self.host), document))
    }

    fn options(&self, force: bool) -> Options {
        let settings = &self.invocation.settings;
        Options {
            image_build_dir: settings.image_build_dir.clone(),
            image_build_suffix: settings.image_build_suffix.clone(),
            bootstrapper: settings.bootstrapper,
            cache_dir: settings.cache_dir.clone(),
            fetch_packages_attempts: u32::try_from(settings.fetch_packages_attempts).unwrap_or(u32::MAX),
            build_in: settings.build_in,
            epoch: settings.source_date_epoch,
            sign_key: settings.sign_key.clone(),
            force,
        }
    }

    fn show_schema(&self) -> Result<(), Failure> {
        let schema = self.driver()?.schema();
        self.answer(&schema, || format!("{schema:#}\n"))
    }

    fn show_drivers(&self) -> Result<(), Failure> {
        let drivers = build_image::list();
        self.answer(&json!(drivers), || {
            drivers.iter().flat_map(|one| [one.to_string(), "\n".into()]).collect()
        })
    }

    fn answer(&self, value: &Value, text: impl FnOnce() -> String) -> Result<(), Failure> {
        self.context.answer(self.invocation.json, value, text)
    }

    fn driver(&self) -> Result<&'static dyn BuildDriver, Failure> {
        Ok(build_image::find(&self.invocation.settings.data_driver)?)
    }
}
