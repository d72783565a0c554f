//! The names of snapshots: what a layer is together with all below it.

use shellrt_plugin::registry::Digest;

/// The chain id of every layer, lowest first.
pub(super) fn ids(diff_ids: &[Digest]) -> Vec<String> {
    let mut chain: Vec<String> = Vec::with_capacity(diff_ids.len());
    for diff_id in diff_ids {
        let id = match chain.last() {
            None => diff_id.to_string(),
            Some(below) => Digest::of(format!("{below} {diff_id}").as_bytes()).to_string(),
        };
        chain.push(id);
    }
    chain
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Computed with sha256sum over the strings.
    #[test]
    fn chain_ids_are_hashed_one_over_the_other() {
        let diff_ids: Vec<Digest> = ["a", "b", "b"]
            .map(|digit| format!("sha256:{}", digit.repeat(64)).parse().unwrap())
            .to_vec();
        assert_eq!(
            ids(&diff_ids),
            [
                "sha256:aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa",
                "sha256:ccd722928bd92476ba1745586fed6e45a102504185ad88cd89e01ff116fd146c",
                "sha256:0534dfd20db433625821d596b55fbbfd32b8ad52670d01f78d9d688a017d4f61",
            ]
        );
        assert!(ids(&[]).is_empty());
    }
}
