//! The modules of one runtime, by the index that they have in it.

use std::collections::BTreeMap;

use crate::link::silverline::slsocket::MODULES;

/// A module.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Module {
    /// Its uuid.
    pub uuid: String,
    /// Its name, where it has one.
    pub name: String,
}

/// All of them.
#[derive(Debug, Default)]
pub struct Modules {
    by_index: BTreeMap<u8, Module>,
}

/// Why there is no index for a module.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// It has one already.
    #[error("module {0:?} exists already")]
    Exists(String),
    /// All are taken.
    #[error("there are {0} modules already, which is the most there may be")]
    Full(usize),
}

impl Modules {
    /// Gives a module the lowest index that is free, of `most`; 0 is as many as there can be.
    ///
    /// # Errors
    /// [`Error`].
    pub fn insert(&mut self, module: Module, most: usize) -> Result<u8, Error> {
        if self.by_index.values().any(|it| it.uuid == module.uuid) {
            return Err(Error::Exists(module.uuid));
        }
        let most = match most {
            0 => MODULES,
            most => most.min(MODULES),
        };
        let mut indexes = (0..most).filter_map(|index| u8::try_from(index).ok());
        let free = indexes.find(|index| !self.by_index.contains_key(index));
        let index = free.ok_or(Error::Full(most))?;
        self.by_index.insert(index, module);
        Ok(index)
    }

    /// A module that has its index already.
    pub fn adopt(&mut self, index: u8, module: Module) {
        self.by_index.insert(index, module);
    }

    /// Makes an index free, and answers whose it was.
    pub fn remove(&mut self, index: u8) -> Option<Module> {
        self.by_index.remove(&index)
    }

    /// The module at an index.
    pub fn get(&self, index: u8) -> Option<&Module> {
        self.by_index.get(&index)
    }

    /// The index of the module with this uuid, or else with this name.
    pub fn find(&self, who: &str) -> Option<u8> {
        let find = |is: fn(&Module) -> &str| {
            let found = self.by_index.iter().find(|(_, module)| is(module) == who);
            found.map(|(index, _)| *index)
        };
        find(|module| &module.uuid).or_else(|| find(|module| &module.name))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn module(uuid: &str) -> Module {
        Module {
            uuid: uuid.to_owned(),
            name: format!("name of {uuid}"),
        }
    }

    #[test]
    fn the_lowest_free_index_is_taken() {
        let mut modules = Modules::default();
        for (uuid, index) in [("a", 0), ("b", 1), ("c", 2)] {
            assert_eq!(modules.insert(module(uuid), 3), Ok(index));
        }
        assert_eq!(modules.insert(module("d"), 3), Err(Error::Full(3)));
        assert_eq!(
            modules.insert(module("b"), 3),
            Err(Error::Exists("b".to_owned()))
        );
        assert_eq!(modules.remove(1), Some(module("b")));
        assert_eq!(modules.remove(1), None);
        assert_eq!(modules.insert(module("d"), 3), Ok(1));
    }

    #[test]
    fn there_are_at_most_128() {
        let mut modules = Modules::default();
        for index in 0..128 {
            assert_eq!(modules.insert(module(&index.to_string()), 0), Ok(index));
        }
        assert_eq!(modules.insert(module("x"), 0), Err(Error::Full(128)));
        assert_eq!(modules.insert(module("x"), 1000), Err(Error::Full(128)));
    }

    #[test]
    fn a_module_is_found_by_its_uuid_before_its_name() {
        let mut modules = Modules::default();
        modules.adopt(
            4,
            Module {
                uuid: "u".to_owned(),
                name: "v".to_owned(),
            },
        );
        modules.adopt(9, module("v"));
        assert_eq!(modules.find("v"), Some(9));
        assert_eq!(modules.find("u"), Some(4));
        assert_eq!(modules.find("name of v"), Some(9));
        assert_eq!(modules.find("w"), None);
    }
}
