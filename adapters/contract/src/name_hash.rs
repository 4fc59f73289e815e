//! The hash in the names that an engine makes on a server.

/// FNV-1a. It is small, and the same in every release of this tool: the names outlive it.
pub fn name_hash(bytes: impl IntoIterator<Item = u8>) -> u64 {
    bytes.into_iter().fold(0xcbf2_9ce4_8422_2325, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_hash_never_changes() {
        assert_eq!(name_hash([]), 0xcbf2_9ce4_8422_2325);
        assert_eq!(name_hash("shop.orders".bytes()), 0x825b_dee7_1b14_8b6c);
    }
}
