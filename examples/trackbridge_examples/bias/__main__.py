from trackbridge_examples.bias.train import main

main()
