//! Complete lists.

use kube::{Api, api::ListParams};
use serde::de::DeserializeOwned;

const PAGE: u32 = 500;

/// Everything that matches, page by page. A page that fails fails the whole: a part of a list is never an answer.
///
/// # Errors
/// What the API server answered.
pub async fn all<K>(api: &Api<K>, params: ListParams) -> Result<Vec<K>, kube::Error>
where
    K: Clone + std::fmt::Debug + DeserializeOwned,
{
    let mut all = Vec::new();
    let mut params = params.limit(PAGE);
    loop {
        let page = api.list(&params).await?;
        all.extend(page.items);
        match page.metadata.continue_.filter(|token| !token.is_empty()) {
            Some(token) => params = params.continue_token(&token),
            None => return Ok(all),
        }
    }
}
