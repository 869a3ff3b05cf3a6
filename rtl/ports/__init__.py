"""What every port of a block means, and every field: unit, meaning, convention."""
