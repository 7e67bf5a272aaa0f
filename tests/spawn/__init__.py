"""Running things on this machine: real processes, real folders, no mocks."""
