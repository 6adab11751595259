"""The container of build/Dockerfile where no Docker runs: its steps in a plain Debian, and its base's digest."""
