"""The tests: a folder for each room, and those of the whole product beside them."""
