//! Values that are JSON (feature `serde`): the same bytes that any other client of the cache can read.

use std::time::Duration;

use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::Result;
use crate::client::{Client, PutOptions};
use crate::error::Error;

impl Client {
    /// The value, if the key is present.
    ///
    /// # Errors
    /// [`Error::Json`] if it is not JSON of this type, and those of [`Client::get`].
    pub fn get_json<T: DeserializeOwned>(&self, key: impl AsRef<[u8]>) -> Result<Option<T>> {
        self.get(key)?.map(|bytes| decode(&bytes)).transpose()
    }

    /// Stores a value. False if the condition did not hold.
    ///
    /// # Errors
    /// [`Error::Json`] if the value cannot be JSON, and those of [`Client::put_with`].
    pub fn put_json<T: Serialize + ?Sized>(
        &self,
        key: impl AsRef<[u8]>,
        value: &T,
        options: PutOptions,
    ) -> Result<bool> {
        self.put_with(key, encode(value)?, options)
    }

    /// [`Client::get_or_put_with`] for JSON.
    ///
    /// # Errors
    /// [`Error::Json`], also for a stored value that is not JSON of this type: where the type changes, the key has to, too, or
    /// the value stands in the way until it expires. And those of [`Client::get_or_put_with`].
    pub fn get_or_put_json_with<T: Serialize + DeserializeOwned>(
        &self,
        key: impl AsRef<[u8]>,
        ttl: Option<Duration>,
        compute: impl FnOnce() -> T,
    ) -> Result<T> {
        let mut computed = None;
        let bytes = self.try_get_or_put_with(key, ttl, || encode(computed.insert(compute())))?;
        computed.map_or_else(|| decode(&bytes), Ok)
    }
}

fn encode<T: Serialize + ?Sized>(value: &T) -> Result<Vec<u8>> {
    serde_json::to_vec(value).map_err(|error| Error::Json(error.to_string()))
}

fn decode<T: DeserializeOwned>(bytes: &[u8]) -> Result<T> {
    serde_json::from_slice(bytes).map_err(|error| Error::Json(error.to_string()))
}
