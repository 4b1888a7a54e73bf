"""Third-party parts of the page, unchanged; VENDOR.md says where each is from."""
