"""Facts shipped as files: o200k_base ranks and the model catalog. NOTICE.md says where they come from."""
