pub async fn run(_arguments: &[String]) {}
