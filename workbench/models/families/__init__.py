"""One file per family; a family only knows how to fit, predict and write itself down."""
