//! A patch is signed and attested after its verification and before its tag.

use reseal_oci::{Descriptor, Digest, RawManifest};
use reseal_sign::statement::facts;

use super::Run;
use crate::{
    error::PipelineError,
    outcome::{Outcome, RunResult},
    seal::{self, Place, Statement, Targets},
    statements::{self, Names},
};

impl Run<'_> {
    /// Signs and attests the root and every manifest that was made, if that is asked for.
    pub(super) async fn seal(
        &self,
        root: &RawManifest,
        result: &mut RunResult,
    ) -> Result<(), PipelineError> {
        let Some(seal) = &self.settings.seal else {
            return Ok(());
        };
        let made = self.pushables.values().map(|one| &one.image.descriptor);
        let children: Vec<Descriptor> = made
            .filter(|one| one.digest != root.digest)
            .cloned()
            .collect();
        let to = self.settings.to.as_ref();
        let name = seal::signed_name(to.unwrap_or(&self.settings.input.source));
        let statements = if seal.attest {
            self.statements(&children, result, &name, seal.run_until_now())
        } else {
            Vec::new()
        };
        let place = Place {
            store: self.destination.store.as_ref(),
            name: &name,
        };
        let targets = Targets {
            root: root.descriptor(),
            children,
            sign: true,
            statements: &statements,
        };
        match seal::seal(&place, &targets, &seal.session, self.events).await {
            Ok(sealed) => result.signatures = sealed,
            Err(source) => {
                result.outcome = Outcome::Unsigned;
                return Err(PipelineError::Unsealed {
                    place: self.destination.name.clone(),
                    digest: root.digest.clone(),
                    result: Box::new(result.clone()),
                    source: Box::new(source),
                });
            }
        }
        Ok(())
    }

    fn statements(
        &self,
        children: &[Descriptor],
        result: &RunResult,
        name: &str,
        run: facts::Run,
    ) -> Vec<Statement> {
        let names = Names {
            source: &seal::signed_name(&self.settings.input.source),
            patched: name,
        };
        let facts = statements::facts(result, &self.settings.input.reports, names, run);
        let inventories: Vec<_> = self
            .layers
            .iter()
            .map(|(place, (_, finished))| {
                statements::inventory(&self.platforms[place], &finished.after)
            })
            .collect();
        let children: Vec<Digest> = children.iter().map(|one| one.digest.clone()).collect();
        statements::statements(&facts, &children, &inventories)
    }
}
