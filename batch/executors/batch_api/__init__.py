"""The Batch API executor: requests in files, answers in files, at the provider's own pace and about half the price."""
