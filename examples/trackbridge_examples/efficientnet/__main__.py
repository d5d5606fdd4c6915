from trackbridge_examples.efficientnet.train import main

main()
