//! What the commands of the builder do: the way from settings to what is to be built, and from that to a build.

use serde_json::{Value, json};

use crate::{
    cli::{Build, Context, Failure, Invocation},
    drivers::build_image::{self, Blueprint, BuildDriver},
};

/// Does what `invocation` says.
///
/// # Errors
/// When it cannot be done, with all that is known of why.
pub fn run(invocation: &Invocation<Build>, context: &Context) -> Result<(), Failure> {
    let call = Call { invocation, context };
    match invocation.command {
        Build::Run { .. } => call.build(),
        Build::Plan => call.show_plan(),
        Build::Schema => call.show_schema(),
        Build::Drivers => call.show_drivers(),
    }
}

struct Call<'a> {
    invocation: &'a Invocation<Build>,
    context: &'a Context,
}

impl Call<'_> {
    fn build(&self) -> Result<(), Failure> {
        let blueprint = self.blueprint()?;
        if !blueprint.deferred.is_empty() {
            let failure = Failure::new("the plan is refused, nothing was built");
            return Err(failure.with_mistakes(blueprint.deferred));
        }
        Err(Failure::new(
            "this program shows what is to be built, and does not build it yet; see the command plan",
        ))
    }

    fn show_plan(&self) -> Result<(), Failure> {
        let Blueprint { scheme, deferred } = self.blueprint()?;
        let mut shown = scheme.shown;
        if !deferred.is_empty() {
            shown["refusals"] = json!(deferred);
        }
        self.answer(&shown, || format!("{shown:#}\n"))
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

    /// What the document asks for.
    fn blueprint(&self) -> Result<Blueprint, Failure> {
        let driver = self.driver()?;
        driver
            .read(&self.invocation.settings.document()?)
            .map_err(|mistakes| Failure::new("the input document has mistakes").with_mistakes(mistakes.0))
    }
}
