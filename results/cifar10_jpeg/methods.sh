LARQLITE_CIFAR10=cifar lqz sweep TrainResNet8 --seeds 1 2 3 --epochs 10 \
    --train-images 10000 --batch-size 64 --precision mixed_bfloat16 --threads 1 --methods \
    bnn ternary dorefa_w2a2 lsq_w2a2 dorefa_w3a3 lsq_w3a3 pact_w2a2 lq_nets_w2a2 \
    lsq_plus_w2a2 uniform_w2a2 int_symmetric_w2a2 birealnet xnor_net xnor_net_plus \
    ir_net recu reactnet adabin bnn_plus ste_sign/approx_sign 'ste_sign/lsq(2)' \
    'ste_sign/dorefa(2)' 'absmean_ternary/lsq(2)' bitnet seq_w2a2 \
    stochastic_sign/ste_sign stochastic_ternary binary_connect ttq dorefa_w4a4 lsq_w4a4 \
    pact_w3a3 lq_nets_w3a3 lsq_plus_w3a3
