"""Everything that runs Tripthread: the commands, the supervisor, the migrations, the sandbox, compose."""
